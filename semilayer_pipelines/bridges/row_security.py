"""PostgreSQL's row-level security: whether policies hide rows of a table from a user.

Such a table may show no row, and then looks empty. A view reads with the rights of its owner, so it
hides the rows that are hidden from that role. With `security_invoker` the role is the one that
asks, also behind another view.
"""

from __future__ import annotations

from semilayer_pipelines.bridges.protocol import HiddenRows
from semilayer_pipelines.bridges.server import Run

__all__ = ["hidden_by_policy"]

_TABLES = """
WITH RECURSIVE asking AS (
  SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user
), behind(oid, role) AS (
  SELECT pg_catalog.to_regclass(%s)::oid, (SELECT oid FROM asking)
  UNION
  SELECT d.refobjid, CASE WHEN v.reloptions && ARRAY['security_invoker=true',
    'security_invoker=on', 'security_invoker=1'] THEN (SELECT oid FROM asking)
    ELSE v.relowner END
  FROM behind b
  JOIN pg_catalog.pg_class v ON v.oid = b.oid AND v.relkind IN ('v', 'm')
  JOIN pg_catalog.pg_rewrite w ON w.ev_class = v.oid
  JOIN pg_catalog.pg_depend d ON d.objid = w.oid AND d.refobjid <> v.oid
    AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
)
SELECT c.oid::text, c.relname, r.oid::text, r.rolname, c.reltuples::bigint,
  c.oid::pg_catalog.regclass::text, pg_catalog.quote_ident(r.rolname),
  pg_catalog.pg_has_role(r.oid, c.relowner, 'USAGE')
FROM behind b
JOIN pg_catalog.pg_class c ON c.oid = b.oid
JOIN pg_catalog.pg_roles r ON r.oid = b.role
WHERE c.relrowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls
  AND (c.relforcerowsecurity OR NOT pg_catalog.pg_has_role(r.oid, c.relowner, 'USAGE'))
ORDER BY c.relname
"""
_POLICIES = """
SELECT p.polname, p.polpermissive, pg_catalog.pg_get_expr(p.polqual, p.polrelid) = 'true'
FROM pg_catalog.pg_policy p
WHERE p.polrelid = %s::oid AND p.polcmd IN ('r', '*')
  AND EXISTS (SELECT FROM pg_catalog.unnest(p.polroles) one
              WHERE one = 0 OR pg_catalog.pg_has_role(%s::oid, one, 'USAGE'))
ORDER BY p.polname
"""


def hidden_by_policy(run: Run, name: str) -> HiddenRows | None:
    """Return why rows of a table or view may be hidden; `None` when none are.

    `name` is quoted, as `to_regclass` takes it.
    """
    for oid, table, role, user, rows, quoted, quoted_user, owner in run(_TABLES, (name,)):
        policies = run(_POLICIES, (oid, role))
        everything = any(permissive and all_rows for _, permissive, all_rows in policies)
        restrictive = [policy for policy, permissive, _ in policies if not permissive]
        if everything and not restrictive:
            continue  # one policy shows every row, and none takes any away
        about = f" of about {rows:,}" if rows > 0 else ""
        grant = f"`CREATE POLICY semilayer ON {quoted} FOR SELECT TO {quoted_user} USING (true)`"
        bypass = f"`ALTER ROLE {quoted_user} BYPASSRLS`"
        if owner:
            bypass += f" or `ALTER TABLE {quoted} NO FORCE ROW LEVEL SECURITY`"
        if not any(permissive for _, permissive, _ in policies):
            return HiddenRows(
                f"row-level security of {table!r} hides all its rows{about} from user {user!r}: "
                "no policy is for that user.",
                # A restrictive policy takes rows away from what a policy shows, also from this one.
                f"Let the user read them: {bypass if restrictive else f'{grant} or {bypass}'}.",
                all_of_them=True,
            )
        named = ", ".join(repr(policy) for policy, *_ in policies)
        which = "policy" if len(policies) == 1 else "policies"
        return HiddenRows(
            f"row-level security of {table!r} may hide rows{about} from user {user!r}: the {which} "
            f"{named} {'decides' if len(policies) == 1 else 'decide'} which are shown.",
            "If a search is to find all rows, let the user read them: "
            f"{bypass if restrictive else f'{grant} or {bypass}'}.",
            all_of_them=False,
        )
    return None
