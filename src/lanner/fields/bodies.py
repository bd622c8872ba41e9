"""Getters that read several values out of the object a request carries: containers, volumes, subjects, rules.

The reading follows Falco's k8saudit plugin (`extract.go`): an array on the way stands for all its elements, the index
of a field picks one, and what is no array is taken for its only element. A JSON patch is an array of operations, none
of which has the members looked for. Where a getter departs from Falco, its docstring says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lanner.event import MISSING, AuditEvent, Missing
from lanner.fields.nodes import Node, opened, request
from lanner.fields.paths import cut, texts
from lanner.fields.usual import values
from lanner.jsontext.access import as_text, element_texts

HOST_PATH: Final = ("spec", "volumes", "hostPath", "path")


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of one array of the request body; anything else there is no value."""

    key_path: tuple[str, ...]

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        node = _descend(request(event), self.key_path)
        return MISSING if node is None else texts(element_texts(node.json))


@dataclass(frozen=True, slots=True)
class Present:
    """The values at a path, leaving out the elements that lack one: positions do not line up with containers."""

    key_path: tuple[str, ...]
    index: int | None = None

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        found = values(event, self.key_path, self.index)
        if not found:
            return MISSING
        shown = [as_text(value) for value in found if value is not MISSING]
        return texts(shown) if shown else MISSING


@dataclass(frozen=True, slots=True)
class Complete:
    """The values at a path, provided that every element has one: a single one without makes all of them missing."""

    key_path: tuple[str, ...]
    index: int | None = None

    def texts(self, event: AuditEvent) -> list[str]:
        """The values as written, empty if there are none or not all."""
        found: list[str] = []
        for value in values(event, self.key_path, self.index) or ():
            if value is MISSING:
                return []
            found.append(as_text(value))
        return found

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

    several: Complete | Repositories

    def __call__(self, event: AuditEvent) -> str | Missing:
        found = self.several(event)
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
        for value in values(event, self.key_path, self.index) or ():
            if value is MISSING:
                continue
            words = Node(value)
            if not words.is_array or not all(word.is_string for word in words.elements):
                return MISSING
            lines.append(" ".join([word.text for word in words.elements]))
        return texts(lines)


@dataclass(frozen=True, slots=True)
class HostPorts:
    """The ports of containers: hostPort, else containerPort, which is the port on the node with hostNetwork."""

    key_path: tuple[str, ...]
    index: int | None = None

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        found: list[str] = []
        for value in values(event, self.key_path, self.index) or ():
            if value is MISSING:
                continue
            ports = Node(value)
            if not ports.is_array:
                return MISSING
            for port in ports.elements:
                number = port.member("hostPort") or port.member("containerPort")
                if number is not MISSING:
                    found.append(as_text(number))
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
        if spec is None:
            return MISSING
        containers = opened(spec, (self.containers,), self.index)
        if containers is None or (len(containers) == 1 and containers[0] is not None and not containers[0].is_object):
            return MISSING
        pod = _id(spec, self.key)
        default = "0" if pod is None else pod
        own = [None if container is None else _id(container, self.key) for container in containers]
        return texts([default if text is None else text for text in own])


def _id(owner: Node, key: str) -> str | None:
    """The id in the security context of a pod or container; null there is as good as none."""
    context = owner.child("securityContext")
    value = MISSING if context is None else context.member(key)
    return None if value is MISSING or bytes(value) == b"null" else as_text(value)


@dataclass(frozen=True, slots=True)
class Flattened:
    """The elements of all the arrays at a path, in one list; other values there do not count."""

    key_path: tuple[str, ...]
    index: int | None = None

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        found = values(event, self.key_path, self.index)
        return texts([text for value in found or () if value is not MISSING for text in element_texts(value)])


@dataclass(frozen=True, slots=True)
class AnyTrue:
    """`true` if a value at the path is the JSON true, else `false`; missing only if the array itself is."""

    key_path: tuple[str, ...]

    def __call__(self, event: AuditEvent) -> str | Missing:
        found = values(event, self.key_path)
        if found is None:
            return MISSING
        return "true" if any(value is not MISSING and bytes(value) == b"true" for value in found) else "false"


@dataclass(frozen=True, slots=True)
class MountsHostPath:
    """`true` if a volume's hostPath is that path, or begins with it when the argument ends in `*`; else `false`.

    Missing only if the pod has no volumes.
    """

    argument: str

    def __call__(self, event: AuditEvent) -> str | Missing:
        found = values(event, HOST_PATH)
        if found is None:
            return MISSING
        paths = [as_text(value) for value in found if value is not MISSING]
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
        volumes = opened(request(event), ("spec", "volumes"), self.index) or ()
        return texts([key for volume in volumes if volume is not None for key in volume.members if key != "name"])


@dataclass(frozen=True, slots=True)
class SubjectNames:
    """The names of a binding's subjects of one kind; `namespaced` puts `namespace:` before, and needs one."""

    kind: str
    namespaced: bool = False

    def __call__(self, event: AuditEvent) -> list[str] | Missing:
        found: list[str] = []
        for subject in _subjects(event):
            kind, name = subject.member("kind"), subject.member("name")
            if kind is MISSING or name is MISSING or as_text(kind) != self.kind:
                continue
            if not self.namespaced:
                found.append(as_text(name))
            elif (namespace := subject.member("namespace")) is not MISSING:
                found.append(f"{as_text(namespace)}:{as_text(name)}")
        return texts(found)


@dataclass(frozen=True, slots=True)
class HasSubject:
    """Whether a subject of the binding has that name, as `true` or `false`. Falco always says `true`."""

    name: str

    def __call__(self, event: AuditEvent) -> str | Missing:
        names = (subject.member("name") for subject in _subjects(event))
        return "true" if any(name is not MISSING and cut(as_text(name)) == self.name for name in names) else "false"


def _subjects(event: AuditEvent) -> list[Node]:
    subjects = _descend(request(event), ("subjects",))
    return [] if subjects is None else subjects.elements


def _descend(node: Node | None, keys: tuple[str, ...]) -> Node | None:
    for key in keys:
        if node is None:
            return None
        node = node.child(key)
    return node
