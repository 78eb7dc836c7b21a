"""The binary log of a MySQL or MariaDB source."""
