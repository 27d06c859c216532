"""Ask the server of an endpoint whether it is there and knows the model, before anything else is done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from snakeval.endpoint import Server, Trouble


def check(endpoint: Mapping[str, Any]) -> None:
    """Ask a server for its models, once; one that lists none passes.

    Raises:
        EngineError: nobody is there, the key is missing or refused, or there is no model of that name.
    """
    asyncio.run(_check(endpoint))


async def _check(endpoint: Mapping[str, Any]) -> None:
    async with Server(endpoint) as server:
        try:
            known = await server.models()
        except Trouble as trouble:
            raise await server.mended_by(trouble) from trouble
        if known is not None and server.model not in known:
            raise server.unknown_model(known, "no such model")
