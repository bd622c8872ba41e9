"""Fields that read what a request carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lanner.fields.bodies import repository
from lanner.fields.nodes import DEEPEST_ARRAYS
from tests.fields.builders import Found

Read = Callable[..., Found]

POD = {
    "spec": {
        "hostNetwork": True,
        "securityContext": {"runAsUser": 100, "runAsGroup": 200, "fsGroup": 0, "supplementalGroups": [7, 8]},
        "containers": [
            {
                "name": "web",
                "image": "registry.example:5000/shop/web:1.4",
                "command": ["/bin/web", "--fast"],
                "ports": [{"containerPort": 80, "hostPort": 8000}, {"containerPort": 81}],
                "securityContext": {"privileged": True, "runAsUser": 0, "capabilities": {"add": ["NET_RAW", "BPF"]}},
            },
            {"name": "log", "image": "log@sha256:0a", "args": ["-n", "5"]},
            {
                "name": "aux",
                "image": "aux",
                "securityContext": {"privileged": False, "runAsGroup": 9, "capabilities": {"add": ["SYS_ADMIN"]}},
            },
        ],
        "volumes": [
            {"name": "a", "emptyDir": {}},
            {"name": "b", "hostPath": {"path": "/var/run"}},
            {"name": "c", "hostPath": {"path": "/etc"}, "readOnly": True},
        ],
    }
}

POD_VALUES: dict[str, Found] = {
    "ka.req.pod.host_network": "true",
    "ka.req.container.host_network": "true",
    "ka.req.pod.host_pid": None,
    "ka.req.pod.run_as_user": "100",
    "ka.req.pod.fs_group": "0",
    "ka.req.pod.supplemental_groups": ["7", "8"],
    "ka.req.pod.containers.name": ["web", "log", "aux"],
    "ka.req.pod.containers.name[1]": ["log"],
    "ka.req.pod.containers.name[3]": None,
    "ka.req.pod.containers.image[0]": ["registry.example:5000/shop/web:1.4"],
    "ka.req.container.image": "registry.example:5000/shop/web:1.4",
    "ka.req.pod.containers.image.repository": ["registry.example:5000/shop/web", "log", "aux"],
    "ka.req.container.image.repository": "registry.example:5000/shop/web",
    "ka.req.pod.containers.command": ["/bin/web --fast"],
    "ka.req.pod.containers.args": ["-n 5"],
    "ka.req.pod.containers.args[0]": None,
    "ka.req.pod.containers.host_port": ["8000", "81"],
    "ka.req.pod.containers.host_port[1]": None,
    "ka.req.pod.containers.privileged": ["true", "false"],
    "ka.req.pod.containers.privileged[1]": None,
    "ka.req.container.privileged": "true",
    "ka.req.pod.containers.run_as_user": ["0"],
    "ka.req.pod.containers.eff_run_as_user": ["0", "100", "100"],
    "ka.req.pod.containers.eff_run_as_user[0]": ["0"],
    "ka.req.pod.containers.eff_run_as_group": ["200", "200", "9"],
    "ka.req.pod.containers.eff_run_as_group[5]": None,
    "ka.req.pod.containers.add_capabilities": ["NET_RAW", "BPF", "SYS_ADMIN"],
    "ka.req.pod.containers.add_capabilities[2]": ["SYS_ADMIN"],
    "ka.req.pod.initContainers.eff_run_as_user": None,
    "ka.req.pod.volumes.hostpath": ["/var/run", "/etc"],
    "ka.req.pod.volumes.hostpath[0]": None,
    "ka.req.pod.volumes.hostpath[2]": ["/etc"],
    "ka.req.pod.volumes.volume_type": ["emptyDir", "hostPath", "hostPath", "readOnly"],
    "ka.req.pod.volumes.volume_type[1]": ["hostPath"],
    "ka.req.volume.hostpath[/etc]": "true",
    "ka.req.volume.hostpath[/et]": "false",
    "ka.req.volume.hostpath[/var*]": "true",
    "ka.req.volume.hostpath[*]": "true",
    "ka.req.volume.hostpath[]": "false",
}


@pytest.mark.parametrize("field", POD_VALUES)
def test_pod(field: str, read: Read) -> None:
    """Each field of a pod reads its place in the object."""
    assert read(field, requestObject=POD) == POD_VALUES[field]


@pytest.mark.parametrize("containers", ["initContainers", "ephemeralContainers"])
def test_other_container_lists(containers: str, read: Read) -> None:
    """Init and ephemeral containers have the fields of containers, and do not mix with them."""
    body = {"spec": {containers: [{"name": "x", "image": "i:1", "securityContext": {"privileged": True}}]}}
    assert read(f"ka.req.pod.{containers}.privileged", requestObject=body) == ["true"]
    assert read(f"ka.req.pod.{containers}.image.repository[0]", requestObject=body) == ["i"]
    assert read(f"ka.req.pod.{containers}.eff_run_as_group", requestObject=body) == ["0"]
    assert read("ka.req.pod.containers.privileged", requestObject=body) is None


JSON_PATCH = [{"op": "add", "path": "/spec/hostPID", "value": True}, {"op": "remove", "path": "/x"}]

ODD_BODIES: list[tuple[str, Any, Found]] = [
    ("ka.req.container.privileged", JSON_PATCH, "false"),
    ("ka.req.volume.hostpath[/etc]", JSON_PATCH, "false"),
    ("ka.req.pod.volumes.volume_type", JSON_PATCH, None),
    ("ka.req.pod.containers.eff_run_as_user", JSON_PATCH, None),
    ("ka.req.pod.containers.image", JSON_PATCH, None),
    ("ka.req.pod.host_pid", JSON_PATCH, None),
    ("ka.req.role.rules.verbs", JSON_PATCH, None),
    ("ka.req.service.ports", JSON_PATCH, None),
    ("ka.req.pod.containers.image", {"spec": {"containers": [{"name": "a"}, {"image": "b"}]}}, None),
    ("ka.req.pod.containers.image[1]", {"spec": {"containers": [{"name": "a"}, {"image": "b"}]}}, ["b"]),
    ("ka.req.pod.containers.image[4]", {"spec": {"containers": {"image": "only"}}}, ["only"]),
    ("ka.req.pod.containers.image", {"spec": {"containers": [[{"image": "a"}], [[{"image": "b"}]]]}}, ["a", "b"]),
    ("ka.req.pod.containers.name", {"spec": {"containers": [{"name": None}]}}, ["null"]),
    ("ka.req.pod.containers.name", {"spec": {"containers": None}}, None),
    ("ka.req.pod.containers.eff_run_as_user", {"spec": {"containers": None}}, None),
    ("ka.req.pod.containers.eff_run_as_user", {"spec": {"containers": []}}, None),
    ("ka.req.pod.containers.eff_run_as_user", {"spec": {"containers": {"name": "a"}}}, ["0"]),
    ("ka.req.container.privileged", {"spec": {"containers": []}}, "false"),
    ("ka.req.container.privileged", {"spec": {"containers": [{"securityContext": {"privileged": "true"}}]}}, "false"),
    ("ka.req.container.privileged", {"spec": {}}, None),
    ("ka.req.pod.containers.command", {"spec": {"containers": [{"command": []}, {}]}}, [""]),
    ("ka.req.pod.containers.args", {"spec": {"containers": [{"args": ["a", 1]}]}}, None),
    ("ka.req.pod.containers.args", {"spec": {"containers": [{"args": "a"}]}}, None),
    ("ka.req.pod.containers.host_port", {"spec": {"containers": [{"ports": {}}]}}, None),
    ("ka.req.pod.containers.host_port", {"spec": {"containers": [{"ports": [7, {"protocol": "UDP"}]}]}}, None),
    ("ka.req.pod.volumes.volume_type", {"spec": {"volumes": [1, {"name": "a"}]}}, None),
    ("ka.req.volume.hostpath[/x]", {"spec": {"volumes": []}}, "false"),
    ("ka.req.volume.hostpath[/x]", {"spec": {}}, None),
    ("ka.req.pod.supplemental_groups", {"spec": {"securityContext": {"supplementalGroups": []}}}, None),
    ("ka.req.configmap.obj", {"data": {"b": "1\t2", "a": [1.50, None]}}, '{"b":"1\\t2","a":[1.5,null]}'),
    ("ka.req.configmap.obj", {"data": "bare"}, "bare"),
    ("ka.req.service.type", {"spec": {"type": None}}, "null"),
    ("ka.req.service.ports", {"spec": {"ports": [{"port": 1}, {"port": 2}]}}, ['{"port":1}', '{"port":2}']),
    ("ka.req.service.ports[1]", {"spec": {"ports": [{"port": 1}, {"port": 2}]}}, ['{"port":2}']),
    ("ka.req.pod.host_ipc", "text", None),
    ("ka.req.pod.host_ipc", None, None),
]


@pytest.mark.parametrize(("field", "body", "value"), ODD_BODIES)
def test_odd_bodies(field: str, body: Any, value: Found, read: Read) -> None:
    """Bodies of other shapes give what Falco's walk over them gives, short of its crashes and slips."""
    assert read(field, requestObject=body) == value


def test_arrays_in_arrays_have_an_end(read: Read) -> None:
    """Opening arrays in arrays stops at some depth, where each level would read the whole rest again."""
    shallow: Any = {"image": "a"}
    for _ in range(DEEPEST_ARRAYS):
        shallow = [shallow]
    assert read("ka.req.pod.containers.image", requestObject={"spec": {"containers": shallow}}) == ["a"]
    assert read("ka.req.pod.containers.image", requestObject={"spec": {"containers": [shallow]}}) is None


BINDING = {
    "roleRef": {"kind": "ClusterRole", "name": "edit"},
    "subjects": [
        {"kind": "User", "name": "ann"},
        {"kind": "Group", "name": "ops"},
        {"kind": "ServiceAccount", "name": "robot", "namespace": "ci"},
        {"kind": "ServiceAccount", "name": "lost"},
        {"kind": "User"},
        3,
    ],
}

BINDING_VALUES: dict[str, Found] = {
    "ka.req.binding.role": "edit",
    "ka.req.binding.subjects.user_names": ["ann"],
    "ka.req.binding.subjects.group_names": ["ops"],
    "ka.req.binding.subjects.serviceaccount_names": ["robot", "lost"],
    "ka.req.binding.subjects.serviceaccount_ns_names": ["ci:robot"],
    "ka.req.binding.subject.has_name[ops]": "true",
    "ka.req.binding.subject.has_name[bob]": "false",
}


@pytest.mark.parametrize("field", BINDING_VALUES)
def test_binding(field: str, read: Read) -> None:
    """Subjects of a binding are read by kind; one without a name, or no object, counts for nothing."""
    assert read(field, requestObject=BINDING) == BINDING_VALUES[field]


def test_subjects_as_json(read: Read) -> None:
    """Whole subjects are compact JSON with their keys in order."""
    values = read("ka.req.binding.subjects", requestObject=BINDING)
    assert isinstance(values, list)
    assert values[0] == '{"kind":"User","name":"ann"}'
    assert values[-1] == "3"


def test_has_name_without_a_binding(read: Read) -> None:
    """No subject has the name where there are no subjects."""
    assert read("ka.req.binding.subject.has_name[x]") == "false"
    assert read("ka.req.binding.subject.has_name[x]", requestObject={"subjects": "x"}) == "false"


RULES = {"rules": [{"verbs": ["get", "list"], "resources": ["pods"]}, {"verbs": ["*"], "nonResourceURLs": "/x"}]}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ka.req.role.rules.verbs", ["get", "list", "*"]),
        ("ka.req.role.rules.verbs[1]", ["*"]),
        ("ka.req.role.rules.verbs[2]", None),
        ("ka.req.role.rules.resources", ["pods"]),
        ("ka.req.role.rules.resources[1]", None),
        ("ka.req.role.rules.nonResourceURLs", None),
    ],
)
def test_role(field: str, value: Found, read: Read) -> None:
    """The lists of all rules of a role are one list; an index picks a rule."""
    assert read(field, requestObject=RULES) == value


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("busybox", "busybox"),
        ("busybox:1.36", "busybox"),
        ("team/app:1", "team/app"),
        ("host:5000/team/app", "host:5000/team/app"),
        ("host:5000/team/app:1@sha256:ab", "host:5000/team/app"),
        ("app@sha256:ab", "app"),
        ("", ""),
    ],
)
def test_repository(image: str, name: str) -> None:
    """Only a tag and a digest are cut off an image, never the port of its registry."""
    assert repository(image) == name


def test_last_of_equal_keys_wins(read: Read) -> None:
    """Of equal keys the last counts, as for the API server."""
    body = '{"spec":{"hostPID":false,"hostPID":true}}'
    text = f'{{"kind":"Event","auditID":"a","stageTimestamp":"2024-03-05T09:08:07Z","requestObject":{body}}}'
    assert read("ka.req.pod.host_pid", text) == "true"


def test_numbers_keep_their_spelling(read: Read) -> None:
    """A number is the text it was written as."""
    body = '{"spec":{"hostPID":1.50e+2,"hostIPC":-0}}'
    text = f'{{"kind":"Event","auditID":"a","stageTimestamp":"2024-03-05T09:08:07Z","requestObject":{body}}}'
    assert read("ka.req.pod.host_pid", text) == "1.50e+2"
    assert read("ka.req.pod.host_ipc", text) == "-0"


def test_texts_end_at_nul(read: Read) -> None:
    """Values are C strings, each value of a list too."""
    assert read("ka.req.binding.role", requestObject={"roleRef": {"name": "a\0b"}}) == "a"
    assert read(
        "ka.req.binding.subjects.user_names", requestObject={"subjects": [{"kind": "User", "name": "x\0"}]}
    ) == ["x"]
