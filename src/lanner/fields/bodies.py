"""Getters that read several values out of the object a request carries: containers, volumes, subjects, rules.

The reading follows Falco's k8saudit plugin (`extract.go`): an array on the way stands for all its elements, the index
of a field picks one, and what is no array is taken for its only element. A JSON patch is an array of operations, none
of which has the members looked for. Where a getter departs from Falco, its docstring says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lanner.event import MISSING, AuditEvent, Missing
from lanner.fields.nodes import Node, collect, request
from lanner.fields.paths import cut, texts

HOST_PATH: Final = ("spec", "volumes", "hostPath", "path")


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of one array of the request body; anything else there is no value."""

    key_path: tuple[str, ...]

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        node = _descend(request(event), self.key_path)
        return MISSING if node is None else texts([element.text for element in node.elements])


@dataclass(frozen=True, slots=True)
class Present:
    """The values at a path, leaving out the elements that lack one: positions do not line up with containers."""

    key_path: tuple[str, ...]
    index: int | None = None

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        found = collect(request(event), self.key_path, self.index)
        return texts([node.text for node in found or () if node is not None])


@dataclass(frozen=True, slots=True)
class Complete:
    """The values at a path, provided that every element has one: a single one without makes all of them missing."""

    key_path: tuple[str, ...]
    index: int | None = None

    def texts(self, event: AuditEvent) -> list[str]:
        """The values as written, empty if there are none or not all."""
        values: list[str] = []
        for node in collect(request(event), self.key_path, self.index) or ():
            if node is None:
                return []
            values.append(node.text)
        return values

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        return texts(self.texts(event))


@dataclass(frozen=True, slots=True)
class Repositories:
    """Images without their tags and digests.

    Falco cuts at the first colon, which leaves nothing but the host of `host:5000/team/app:1`.
    """

    images: Complete

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        return texts([repository(image) for image in self.images.texts(event)])


def repository(image: str) -> str:
    """`registry:5000/team/app` of `registry:5000/team/app:1.2@sha256:ab`."""
    name = image.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(":")[0]


@dataclass(frozen=True, slots=True)
class FirstOf:
    """The first value of a list field."""

    values: Complete | Repositories

    def __call__(self, event: AuditEvent) -> str | Missing:
        found = self.values(event)
        return MISSING if found is MISSING else found[0]


@dataclass(frozen=True, slots=True)
class CommandLines:
    """One text for each container that has the array: its words joined by blanks.

    A value that is no array, or a word that is no string, makes the whole field missing.
    """

    key_path: tuple[str, ...]
    index: int | None = None

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        lines: list[str] = []
        for node in collect(request(event), self.key_path, self.index) or ():
            if node is None:
                continue
            if not node.is_array or not all(word.is_string for word in node.elements):
                return MISSING
            lines.append(" ".join([word.text for word in node.elements]))
        return texts(lines)


@dataclass(frozen=True, slots=True)
class HostPorts:
    """The ports of containers: hostPort, else containerPort, which is the port on the node with hostNetwork."""

    key_path: tuple[str, ...]
    index: int | None = None

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        found: list[str] = []
        for ports in collect(request(event), self.key_path, self.index) or ():
            if ports is None:
                continue
            if not ports.is_array:
                return MISSING
            for port in ports.elements:
                number = port.member("hostPort") or port.member("containerPort")
                if number is not None:
                    found.append(number.text)
        return texts(found)


@dataclass(frozen=True, slots=True)
class EffectiveIds:
    """The user or group id each container starts with: its own, else the pod's, else `0`.

    Falco looks for `runAsUser` beside `securityContext` and not in it, so it finds `0`, or nothing with an index.
    """

    containers: str
    key: str
    index: int | None = None

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        spec = _descend(request(event), ("spec",))
        containers = None if spec is None else collect(spec, (self.containers, ""), self.index)
        if spec is None or containers is None:
            return MISSING
        if len(containers) == 1 and containers[0] is not None and not containers[0].is_object:
            return MISSING
        pod = _id(spec, self.key)
        default = "0" if pod is None else pod
        own = [None if container is None else _id(container, self.key) for container in containers]
        return texts([default if text is None else text for text in own])


def _id(owner: Node, key: str) -> str | None:
    """The id in the security context of a pod or container; null there is as good as none."""
    node = _descend(owner, ("securityContext", key))
    return None if node is None or node.is_literal(b"null") else node.text


@dataclass(frozen=True, slots=True)
class Flattened:
    """The elements of all the arrays at a path, in one list; other values there do not count."""

    key_path: tuple[str, ...]
    index: int | None = None

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        found = collect(request(event), self.key_path, self.index)
        return texts([element.text for node in found or () if node is not None for element in node.elements])


@dataclass(frozen=True, slots=True)
class AnyTrue:
    """`true` if a value at the path is the JSON true, else `false`; missing only if the array itself is."""

    key_path: tuple[str, ...]

    def __call__(self, event: AuditEvent) -> str | Missing:
        found = collect(request(event), self.key_path)
        if found is None:
            return MISSING
        return "true" if any(node is not None and node.is_literal(b"true") for node in found) else "false"


@dataclass(frozen=True, slots=True)
class MountsHostPath:
    """`true` if a volume's hostPath is that path, or begins with it when the argument ends in `*`; else `false`.

    Missing only if the pod has no volumes.
    """

    argument: str

    def __call__(self, event: AuditEvent) -> str | Missing:
        found = collect(request(event), HOST_PATH)
        if found is None:
            return MISSING
        paths = [node.text for node in found if node is not None]
        if self.argument.endswith("*"):
            beginning = self.argument[:-1]
            matched = any(path.startswith(beginning) for path in paths)
        else:
            matched = self.argument in paths
        return "true" if matched else "false"


@dataclass(frozen=True, slots=True)
class VolumeTypes:
    """Every key of every volume but its name. A request body that is an array crashes Falco here; it has no volumes."""

    index: int | None = None

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        found = collect(request(event), ("spec", "volumes", ""), self.index)
        return texts([key for node in found or () if node is not None for key in node.keys if key != "name"])


@dataclass(frozen=True, slots=True)
class SubjectNames:
    """The names of a binding's subjects of one kind; `namespaced` puts `namespace:` before, and needs one."""

    kind: str
    namespaced: bool = False

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        found: list[str] = []
        for subject in _subjects(event):
            kind, name = subject.member("kind"), subject.member("name")
            if kind is None or name is None or kind.text != self.kind:
                continue
            if not self.namespaced:
                found.append(name.text)
            elif (namespace := subject.member("namespace")) is not None:
                found.append(f"{namespace.text}:{name.text}")
        return texts(found)


@dataclass(frozen=True, slots=True)
class HasSubject:
    """Whether a subject of the binding has that name, as `true` or `false`. Falco always says `true`."""

    name: str

    def __call__(self, event: AuditEvent) -> str | Missing:
        names = (subject.member("name") for subject in _subjects(event))
        return "true" if any(name is not None and cut(name.text) == self.name for name in names) else "false"


def _subjects(event: AuditEvent) -> list[Node]:
    subjects = _descend(request(event), ("subjects",))
    return [] if subjects is None else subjects.elements


def _descend(node: Node | None, keys: tuple[str, ...]) -> Node | None:
    for key in keys:
        if node is None:
            return None
        node = node.member(key)
    return node
