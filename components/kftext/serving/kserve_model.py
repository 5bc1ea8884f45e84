"""Our models as KServe's: what its registry, metadata and readiness see."""

from __future__ import annotations

from typing import Any

import kserve
from kserve.errors import InvalidInput, ModelNotFound
from kserve.model_repository import ModelRepository
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from kftext.serving.front import Front
from kftext.serving.model import ServedModel
from kftext.serving.tensors import metadata

__all__ = ["Extension", "KServeModel", "Plane"]


class KServeModel(kserve.Model):
    """A served model in KServe's registry, which asks it for metadata and readiness; predictions don't come this way."""

    def __init__(self, model: ServedModel):
        super().__init__(model.name)
        self.model = model
        self.ready = True

    def get_input_types(self) -> list[dict[str, object]]:
        """The V2 input."""
        return metadata(self.model.target.predictor)[0]

    def get_output_types(self) -> list[dict[str, object]]:
        """The V2 outputs."""
        return metadata(self.model.target.predictor)[1]


class Plane(DataPlane):
    """KServe's data plane, with a liveness and a readiness that mean something."""

    def __init__(self, registry: ModelRepository, front: Front):
        super().__init__(registry)
        self._front = front

    async def live(self) -> dict[str, str]:
        """`alive`, unless a prediction is stuck."""
        return {"status": "alive" if self._front.live else "stuck"}

    async def ready(self) -> bool:
        """Whether requests should come here."""
        return self._front.ready

    async def model_ready(
        self, model_name: str, disable_predictor_health_check: bool = False
    ) -> bool:
        """Whether requests for the model should come here."""
        ready = await super().model_ready(model_name, disable_predictor_health_check)
        return ready and await self.ready()

    async def model_metadata(self, model_name: str) -> dict[str, Any]:
        """KServe's metadata with the version and the kind of the model."""
        described = await super().model_metadata(model_name)
        loaded = self._front.models[model_name].loaded
        return {**described, "platform": f"kftext_{loaded.kind}", "versions": [loaded.version]}


class Extension(ModelRepositoryExtension):
    """KServe's model repository calls: models are those the server was started with."""

    async def load(self, model_name: str) -> None:
        """Refuse."""
        self._refuse(model_name)

    async def unload(self, model_name: str) -> None:
        """Refuse."""
        self._refuse(model_name)

    def _refuse(self, model_name: str) -> None:
        if self._model_registry.get_model(model_name) is None:
            raise ModelNotFound(model_name)
        raise InvalidInput(
            "models are fixed when this server starts (--model_name, --model_dir); with --reload_seconds a changed one is loaded by itself"
        )
