"""Which model embeds a lens, and how."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic.alias_generators import to_camel

from semilayer_pipelines.config.base import ConfigModel, no_secret, no_truth
from semilayer_pipelines.config.prompts import PromptsConfig, RequestConfig

__all__ = ["MAX_CONCURRENCY", "MIN_TOKENS", "EmbeddingConfig", "Precision"]

Precision = Literal["auto", "int8"]

MAX_CONCURRENCY = 256
"""The most that `concurrency` may be."""

MIN_TOKENS = 512
"""The least that `maxBatchTokens` and `tokensPerMinute` may be: one text must fit into each."""

_PACE = (
    "concurrency",
    "max_batch_texts",
    "max_batch_tokens",
    "requests_per_minute",
    "tokens_per_minute",
)
_HOSTED = ("batch", *_PACE)


class EmbeddingConfig(ConfigModel):
    """Which model embeds a lens."""

    provider: Annotated[
        Literal["sentence-transformers", "static", "openai", "hash"],
        Field(
            description="`sentence-transformers` runs the model here; `static` looks up "
            "a vector for each token, a hundred times as fast and less exact; `openai` calls any "
            "OpenAI-compatible endpoint; `hash` is deterministic and meaningless, for tests."
        ),
    ] = "sentence-transformers"
    model: Annotated[
        str,
        Field(
            min_length=1,
            description="Model name or, for sentence-transformers and static, the path of a "
            "folder. A relative path begins in the project's folder.",
        ),
    ] = "all-MiniLM-L6-v2"
    revision: Annotated[str | None, Field(description="Revision of a model on a hub.")] = None
    url: Annotated[
        str | None,
        Field(
            description="Base URL of the endpoint, without `/embeddings`. `${VAR}` is "
            "taken from the environment when it is called."
        ),
    ] = None
    api_key: Annotated[
        str | None,
        Field(
            description="Key of the endpoint; must be `${VAR}`, so that no secret is stored.",
            pattern=r"^\$\{[A-Z_][A-Z0-9_]*\}$",
        ),
    ] = None
    dimensions: Annotated[
        int | None,
        Field(
            gt=0, le=16384, description="Length of the vectors, if shorter than the model's own."
        ),
    ] = None
    precision: Annotated[
        Precision,
        Field(
            description="`auto` is the fastest that gives the model's own vectors. `int8` rounds "
            "the model's matrices to eight bits; its vectors need an index of their own. It runs "
            "on a processor, with the extra `fast`."
        ),
    ] = "auto"
    prompts: Annotated[
        PromptsConfig,
        Field(
            description="Texts that the model reads in front of others. By default the model's "
            "own, where it brings them (`prompts` in its `config_sentence_transformers.json`)."
        ),
    ] = PromptsConfig()
    request: Annotated[
        RequestConfig,
        Field(
            description="Further fields of the body of a request, for `openai`. `${VAR}` in a text "
            "is taken from the environment when the endpoint is called."
        ),
    ] = RequestConfig()
    concurrency: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_CONCURRENCY,
            description="Requests to the endpoint at a time, in each process. The first is "
            "alone, and they become fewer while the endpoint refuses some.",
        ),
    ] = 8
    max_batch_texts: Annotated[
        int | None,
        Field(
            ge=1,
            le=100_000,
            description="Texts in one request at most; by default what the provider takes.",
        ),
    ] = None
    max_batch_tokens: Annotated[
        int | None,
        Field(
            ge=MIN_TOKENS,
            le=10_000_000,
            description="Tokens in one request at most; by default what the provider takes. Tokens "
            "are estimated from what the endpoint charged for before.",
        ),
    ] = None
    requests_per_minute: Annotated[
        int | None,
        Field(
            ge=1,
            description="Requests in any minute at most, of all processes of a machine. By default "
            "as many as the endpoint's headers allow.",
        ),
    ] = None
    tokens_per_minute: Annotated[
        int | None,
        Field(
            ge=MIN_TOKENS,
            description="Tokens in any minute at most, of all processes of a machine. By default "
            "as many as the endpoint's headers allow.",
        ),
    ] = None
    batch: Annotated[
        bool,
        Field(
            description="A full ingest asks the provider for its vectors in batches, at half the "
            "price and within 24 hours. For OpenAI, and servers with `/files` and `/batches` of "
            "the same form. Nothing else uses it.",
        ),
    ] = False
    price_per_million_tokens: Annotated[
        float | None,
        Field(
            ge=0,
            description="Price of a million tokens, in any currency. Only estimates use it "
            "(`semilayer sync --dry-run`).",
        ),
    ] = None

    _numbers = field_validator("dimensions", "price_per_million_tokens", *_PACE, mode="before")(
        no_truth
    )

    @field_validator("url")
    @classmethod
    def _no_secret_in_the_url(cls, url: str | None, info: ValidationInfo) -> str | None:
        return None if url is None else no_secret(url, info)

    @model_validator(mode="after")
    def _endpoint_has_an_address(self) -> Self:
        if self.provider == "openai" and self.url is None:
            raise ValueError("provider: openai needs 'url', the endpoint's base address")
        return self

    @model_validator(mode="after")
    def _static_names_its_model(self) -> Self:
        if self.provider == "static" and "model" not in self.model_fields_set:
            raise ValueError("provider: static needs 'model', a static model's name or path")
        return self

    @model_validator(mode="after")
    def _precision_is_of_a_model_that_runs_here(self) -> Self:
        if self.precision != "auto" and self.provider != "sentence-transformers":
            raise ValueError(
                f"provider: {self.provider} has no 'precision'; only sentence-transformers has"
            )
        return self

    @model_validator(mode="after")
    def _texts_that_the_provider_reads(self) -> Self:
        if self.provider == "hash" and self.prompts != PromptsConfig():
            raise ValueError("provider: hash has no 'prompts'; its vectors mean nothing")
        if self.provider == "static" and self.prompts != PromptsConfig():
            raise ValueError("provider: static has no 'prompts'; a static model knows no sides")
        if self.provider != "openai" and self.request != RequestConfig():
            raise ValueError(
                f"provider: {self.provider} has no 'request'; only openai sends one to an endpoint"
            )
        return self

    @model_validator(mode="after")
    def _limits_are_of_an_endpoint(self) -> Self:
        if self.provider != "openai":
            fields = type(self).model_fields
            for name in _HOSTED:
                if getattr(self, name) != fields[name].default:
                    raise ValueError(
                        f"provider: {self.provider} has no {to_camel(name)!r}; only openai calls "
                        "an endpoint"
                    )
        return self

    @model_validator(mode="after")
    def _a_request_fits_into_its_minute(self) -> Self:
        batch, minute = self.max_batch_tokens, self.tokens_per_minute
        if batch and minute and batch > minute:
            raise ValueError(
                f"maxBatchTokens: {batch} does not fit into tokensPerMinute: {minute}; write "
                f"maxBatchTokens: {minute} or less"
            )
        return self

    def same_model(self, other: EmbeddingConfig) -> bool:
        """Say whether both ask for the same vectors of equal texts, whatever the prompts.

        Neither the price, nor the pace, nor what goes along with questions decides it.
        """
        same_fields = self.request.passage == other.request.passage
        return self.model_alone() == other.model_alone() and same_fields

    def model_alone(self) -> Self:
        """Return what names the model, without price, pace and what goes along with texts."""
        free = (*_HOSTED, "price_per_million_tokens", "prompts", "request")
        known = type(self).model_fields
        return self.model_copy(update={name: known[name].default for name in free})
