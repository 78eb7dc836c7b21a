"""What a CDC worker imports: changes in, one call away from the index.

    with IngestClient("https://…", key, "products") as products:
        products.upsert("42")
        products.delete("43")

Needs httpx and nothing else: no Polars, no Dagster, no SQLAlchemy, so that a worker starts at once
and fits anywhere. Nothing in here may print, log or raise the key.
"""

from semilayer_pipelines.client.asynchronous import AsyncIngestClient
from semilayer_pipelines.client.change import Change, InvalidChange
from semilayer_pipelines.client.failures import DeliveryFailed, RequestRefused
from semilayer_pipelines.client.responses import JobState, Receipt
from semilayer_pipelines.client.synchronous import IngestClient
from semilayer_pipelines.http.contract import Action, JobStatus, ReceiptStatus

__all__ = [
    "Action",
    "AsyncIngestClient",
    "Change",
    "DeliveryFailed",
    "IngestClient",
    "InvalidChange",
    "JobState",
    "JobStatus",
    "Receipt",
    "ReceiptStatus",
    "RequestRefused",
]
