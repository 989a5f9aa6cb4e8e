"""One point of a template's space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import TuneError

Parameter = int | str


@dataclass(frozen=True)
class Config:
    """Parameters of a template. Two configs with the same `compiled` share one build.

    Attributes:
        template: the template's name.
        compiled: parameters that need a build of their own, sorted by name.
        run: parameters of a call.
    """

    template: str
    compiled: tuple[tuple[str, Parameter], ...] = ()
    run: tuple[tuple[str, Parameter], ...] = field(default=())

    @classmethod
    def of(cls, template: str, compiled: Mapping[str, Parameter] | None = None, **run: Parameter) -> Config:
        """From mappings, in any order."""
        return cls(template, tuple(sorted((compiled or {}).items())), tuple(sorted(run.items())))

    def __getitem__(self, name: str) -> Parameter:
        for key, value in (*self.compiled, *self.run):
            if key == name:
                return value
        raise KeyError(f"{self} has no parameter {name!r}")

    @property
    def parameters(self) -> dict[str, Parameter]:
        """All of them by name."""
        return dict((*self.compiled, *self.run))

    @property
    def build(self) -> Config:
        """The part that a build depends on."""
        return Config(self.template, self.compiled)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"template": self.template, "compiled": dict(self.compiled), "run": dict(self.run)}

    @classmethod
    def from_dict(cls, data: Any) -> Config:
        """Raises TuneError for anything that `to_dict` does not write."""
        if not isinstance(data, dict) or data.keys() != {"template", "compiled", "run"}:
            raise TuneError(f"not a config: {data!r}")
        parts = (data["compiled"], data["run"])
        sound = isinstance(data["template"], str) and all(
            isinstance(p, dict)
            and all(isinstance(k, str) and isinstance(v, int | str) and not isinstance(v, bool) for k, v in p.items())
            for p in parts
        )
        if not sound:
            raise TuneError(f"not a config: {data!r}")
        return cls(data["template"], *(tuple(sorted(p.items())) for p in parts))

    def __str__(self) -> str:
        return " ".join([self.template, *(f"{key}={value}" for key, value in (*self.compiled, *self.run))])
