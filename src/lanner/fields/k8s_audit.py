"""The `ka.*` fields: what an audit event says, each under its own name.

The names, types and arguments are those of Falco's k8saudit plugin 0.18 (`fields.go`), so that rules written for it
load and mean the same. One row a field, in the order in which they are listed; the fields of the three container
lists of a pod are one table of properties. All have no value in an event without an auditID.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lanner.event import MISSING, AuditEvent, Missing
from lanner.fields.bodies import (
    HOST_PATH,
    AnyTrue,
    CommandLines,
    Complete,
    EffectiveIds,
    Elements,
    FirstOf,
    Flattened,
    HasSubject,
    HostPorts,
    MountsHostPath,
    Present,
    Repositories,
    SubjectNames,
    VolumeTypes,
)
from lanner.fields.catalog import Argument, FieldDef, Getter
from lanner.fields.nodes import Token, document, response
from lanner.fields.paths import Annotation, Pointer, TextList, pointer
from lanner.fields.query import QueryParameter


def _one(name: str, description: str, getter: Getter) -> FieldDef:
    """A field of one text."""
    return FieldDef(name, description, lambda _: getter, needs_audit_id=True)


def _keyed(name: str, description: str, getter_of: Callable[[str], Getter]) -> FieldDef:
    """A field of one text that needs a key."""
    return FieldDef(name, description, lambda key: getter_of(key or ""), argument=Argument.KEY, needs_audit_id=True)


def _all(name: str, description: str, getter: Getter) -> FieldDef:
    """A field of several texts that takes no index."""
    return FieldDef(name, description, lambda _: getter, is_list=True, needs_audit_id=True)


def _indexed(name: str, description: str, getter_of: Callable[[int | None], Getter]) -> FieldDef:
    """A field of several texts; with an index it reads one element."""
    return FieldDef(
        name,
        description,
        lambda index: getter_of(None if index is None else int(index)),
        is_list=True,
        argument=Argument.OPTIONAL_INDEX,
        needs_audit_id=True,
    )


@dataclass(frozen=True, slots=True)
class TargetPodName:
    """responseObject.metadata.name where the request is for a pod itself.

    Falco (`extract.go`) asks for the resource `pods` and for a subresource that is absent, empty or no string.
    """

    def __call__(self, event: AuditEvent) -> str | Missing:
        target = event.object_ref
        if target.resource != "pods":
            return MISSING
        if target.subresource is not MISSING and target.subresource != "":
            node = _SUBRESOURCE.node(event)
            if node is None or node.is_string:
                return MISSING
        return _RESPONSE_NAME(event)


_SUBRESOURCE = Pointer(document, (Token("objectRef"), Token("subresource")))
_RESPONSE_NAME = Pointer(response, (Token("metadata"), Token("name")))

_ABOUT_THE_EVENT = (
    _one("ka.auditid", "The id that all events of one request share; clients may choose it (auditID).",
         pointer("/auditID")),
    _one("ka.stage", "How far the request has come: RequestReceived, ResponseStarted, ResponseComplete, Panic (stage).",
         pointer("/stage")),
    _one("ka.auth.decision", "Whether the request was authorized, allow or forbid"
         " (annotation authorization.k8s.io/decision).",
         Annotation("authorization.k8s.io/decision")),
    _one("ka.auth.reason", "Why it was, for example which role binding allowed it"
         " (annotation authorization.k8s.io/reason).",
         Annotation("authorization.k8s.io/reason")),
    _one("ka.auth.openshift.decision", "Whether a login succeeded, on OpenShift"
         " (annotation authentication.openshift.io/decision).",
         Annotation("authentication.openshift.io/decision")),
    _one("ka.auth.openshift.username", "Who tried to log in, on OpenShift"
         " (annotation authentication.openshift.io/username).",
         Annotation("authentication.openshift.io/username")),
    _one("ka.validations.admission.policy.failure", "Which validating admission policies the object failed, as JSON"
         " (annotation validation.policy.admission.k8s.io/validation_failure).",
         Annotation("validation.policy.admission.k8s.io/validation_failure")),
    _one("ka.security.pod.violations", "How the pod breaks the Pod Security level that is only audited"
         " (annotation pod-security.kubernetes.io/audit-violations).",
         Annotation("pod-security.kubernetes.io/audit-violations")),
    _one("ka.cluster.name", "The cluster, where whoever forwards the events has noted it (annotation cluster_name).",
         Annotation("cluster_name")),
    _one("ka.user.name", "The user who sent the request, before impersonation (user.username).",
         pointer("/user/username")),
    _all("ka.user.groups", "The groups of that user (user.groups).",
         TextList(("user", "groups"))),
    _one("ka.impuser.name", "The user whose rights the sender asked to act with (impersonatedUser.username).",
         pointer("/impersonatedUser/username")),
    _one("ka.verb", "What is done: get, list, watch, create, update, patch, delete, deletecollection, or the HTTP"
         " method in lower case (verb).",
         pointer("/verb")),
    _one("ka.uri", "Path and query of the request as the client sent them (requestURI).",
         pointer("/requestURI")),
    _keyed("ka.uri.param", "The first value of a query parameter of requestURI: `ka.uri.param[command]` is `sh` for"
           " `?command=sh&command=-c`. Missing for every name where the query has a bad escape or a semicolon.",
           QueryParameter),
    _one("ka.useragent", "What the client says of itself (userAgent).",
         pointer("/userAgent")),
    _indexed("ka.sourceips", "The addresses the request came from and through. The last is the one that the API server"
             " saw; all before it are the client's word (sourceIPs).",
             lambda index: TextList(("source_ips",), index)),
    _one("ka.target.name", "The name of the object asked for; missing in a create that leaves the name to the server"
         " (objectRef.name).",
         pointer("/objectRef/name")),
    _one("ka.target.namespace", "The namespace of the object asked for (objectRef.namespace).",
         pointer("/objectRef/namespace")),
    _one("ka.target.resource", "The kind of object asked for, in the plural: pods, secrets, clusterroles"
         " (objectRef.resource).",
         pointer("/objectRef/resource")),
    _one("ka.target.subresource", "The part of the object asked for: exec, log, status, token (objectRef.subresource).",
         pointer("/objectRef/subresource")),
    _one("ka.target.pod.name", "The pod's name in the answer to a request for a pod itself, not for a subresource such"
         " as exec (responseObject.metadata.name).",
         TargetPodName()),
    _one("ka.resp.name", "The name of the object in the answer, also when the server made it up"
         " (responseObject.metadata.name).",
         _RESPONSE_NAME),
    _one("ka.response.code", "The HTTP status of the answer, as text (responseStatus.code).",
         pointer("/responseStatus/code")),
    _one("ka.response.reason", "One word for a failure: Forbidden, NotFound, AlreadyExists (responseStatus.reason).",
         pointer("/responseStatus/reason")),
)  # fmt: skip

_ABOUT_RBAC = (
    _all("ka.req.binding.subjects", "The subjects of a role binding, each as JSON (requestObject.subjects).",
         Elements(("subjects",))),
    _all("ka.req.binding.subjects.user_names", "The users that a role binding names"
         " (requestObject.subjects[].name of kind User).",
         SubjectNames("User")),
    _all("ka.req.binding.subjects.group_names", "The groups that a role binding names"
         " (requestObject.subjects[].name of kind Group).",
         SubjectNames("Group")),
    _all("ka.req.binding.subjects.serviceaccount_names", "The service accounts that a role binding names, without their"
         " namespaces (requestObject.subjects[].name of kind ServiceAccount).",
         SubjectNames("ServiceAccount")),
    _all("ka.req.binding.subjects.serviceaccount_ns_names", "The service accounts that a role binding names, as"
         " `namespace:name` (requestObject.subjects[] of kind ServiceAccount).",
         SubjectNames("ServiceAccount", namespaced=True)),
    _keyed("ka.req.binding.subject.has_name", "`true` if a subject of a role binding has that name, else `false`;"
           " prefer ka.req.binding.subjects.user_names and its siblings (requestObject.subjects[].name).",
           HasSubject),
    _one("ka.req.binding.role", "The role that a role binding gives (requestObject.roleRef.name).",
         pointer("/requestObject/roleRef/name")),
    _all("ka.req.role.rules", "The rules of a role, each as JSON (requestObject.rules).",
         Elements(("rules",))),
    _indexed("ka.req.role.rules.apiGroups", "The API groups of a role, over all its rules or of one of them; the core"
             " group is empty (requestObject.rules[].apiGroups).",
             lambda index: Flattened(("rules", "apiGroups"), index)),
    _indexed("ka.req.role.rules.nonResourceURLs", "The URL paths of a role, over all its rules or of one of them"
             " (requestObject.rules[].nonResourceURLs).",
             lambda index: Flattened(("rules", "nonResourceURLs"), index)),
    _indexed("ka.req.role.rules.verbs", "The verbs of a role, over all its rules or of one of them: which verb goes"
             " with which resource is lost (requestObject.rules[].verbs).",
             lambda index: Flattened(("rules", "verbs"), index)),
    _indexed("ka.req.role.rules.resources", "The resources of a role, over all its rules or of one of them"
             " (requestObject.rules[].resources).",
             lambda index: Flattened(("rules", "resources"), index)),
)  # fmt: skip

_ABOUT_OTHER_OBJECTS = (
    _one("ka.req.configmap.name", "The name of the object asked for, config map or not (objectRef.name).",
         pointer("/objectRef/name")),
    _one("ka.req.configmap.obj", "The data of a config map, or of any object that has some, as JSON"
         " (requestObject.data).",
         pointer("/requestObject/data")),
    _one("ka.req.service.type", "The type of a service: ClusterIP, NodePort, LoadBalancer (requestObject.spec.type).",
         pointer("/requestObject/spec/type")),
    _indexed("ka.req.service.ports", "The ports of a service, each as JSON (requestObject.spec.ports).",
             lambda index: Present(("spec", "ports", ""), index)),
)  # fmt: skip

_ABOUT_PODS = (
    _one("ka.req.pod.host_ipc", "Whether a pod shares the node's IPC namespace (requestObject.spec.hostIPC).",
         pointer("/requestObject/spec/hostIPC")),
    _one("ka.req.pod.host_network", "Whether a pod uses the node's network (requestObject.spec.hostNetwork).",
         pointer("/requestObject/spec/hostNetwork")),
    _one("ka.req.pod.host_pid", "Whether a pod sees the node's processes (requestObject.spec.hostPID).",
         pointer("/requestObject/spec/hostPID")),
    _one("ka.req.pod.run_as_user", "The user id for all containers of a pod"
         " (requestObject.spec.securityContext.runAsUser).",
         pointer("/requestObject/spec/securityContext/runAsUser")),
    _one("ka.req.pod.run_as_group", "The group id for all containers of a pod"
         " (requestObject.spec.securityContext.runAsGroup).",
         pointer("/requestObject/spec/securityContext/runAsGroup")),
    _one("ka.req.pod.fs_group", "The group that owns a pod's volumes (requestObject.spec.securityContext.fsGroup).",
         pointer("/requestObject/spec/securityContext/fsGroup")),
    _all("ka.req.pod.supplemental_groups", "Further group ids for a pod's processes"
         " (requestObject.spec.securityContext.supplementalGroups).",
         Elements(("spec", "securityContext", "supplementalGroups"))),
    _indexed("ka.req.pod.volumes.hostpath", "The paths of the node that a pod mounts, of the volumes that mount one"
             " (requestObject.spec.volumes[].hostPath.path).",
             lambda index: Present(HOST_PATH, index)),
    _indexed("ka.req.pod.volumes.flexvolume_driver", "The drivers of a pod's flex volumes"
             " (requestObject.spec.volumes[].flexVolume.driver).",
             lambda index: Present(("spec", "volumes", "flexVolume", "driver"), index)),
    _indexed("ka.req.pod.volumes.volume_type", "The types of a pod's volumes: every key of a volume but its name"
             " (requestObject.spec.volumes[]).",
             VolumeTypes),
    _keyed("ka.req.volume.hostpath", "`true` if a pod mounts that path of the node, or one that begins with it when the"
           " key ends in `*`; else `false`; prefer ka.req.pod.volumes.hostpath"
           " (requestObject.spec.volumes[].hostPath.path).",
           MountsHostPath),
    _one("ka.req.container.image", "The image of the first container; prefer ka.req.pod.containers.image"
         " (requestObject.spec.containers[0].image).",
         FirstOf(Complete(("spec", "containers", "image"), 0))),
    _one("ka.req.container.image.repository", "The image of the first container without tag and digest; prefer"
         " ka.req.pod.containers.image.repository (requestObject.spec.containers[0].image).",
         FirstOf(Repositories(Complete(("spec", "containers", "image"), 0)))),
    _one("ka.req.container.privileged", "`true` if a container is privileged, else `false`; prefer"
         " ka.req.pod.containers.privileged (requestObject.spec.containers[].securityContext.privileged).",
         AnyTrue(("spec", "containers", "securityContext", "privileged"))),
    _one("ka.req.container.host_network", "The same as ka.req.pod.host_network (requestObject.spec.hostNetwork).",
         pointer("/requestObject/spec/hostNetwork")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Property:
    """What can be asked of the containers of a list. `{}` in the description stands for the list."""

    name: str
    description: str
    getter: Callable[[str, int | None], Getter]
    ephemeral: bool = True


def _context(*keys: str) -> Callable[[str, int | None], Getter]:
    return lambda containers, index: Present(("spec", containers, "securityContext", *keys), index)


_PROPERTIES = (
    _Property("name", "The names of the {} of a pod, if every one has a name ([].name).",
              lambda containers, index: Complete(("spec", containers, "name"), index)),
    _Property("image", "The images of the {} of a pod, if every one has an image ([].image).",
              lambda containers, index: Complete(("spec", containers, "image"), index)),
    _Property("image.repository", "The images of the {} of a pod without tags and digests ([].image).",
              lambda containers, index: Repositories(Complete(("spec", containers, "image"), index))),
    _Property("command", "The commands of the {} of a pod, the words of each joined by blanks ([].command).",
              lambda containers, index: CommandLines(("spec", containers, "command"), index)),
    _Property("args", "The arguments of the {} of a pod, the words of each joined by blanks ([].args).",
              lambda containers, index: CommandLines(("spec", containers, "args"), index)),
    _Property("host_port", "The node's ports that the {} of a pod take, or their own ports where they take none"
              " ([].ports[].hostPort, else containerPort).",
              lambda containers, index: HostPorts(("spec", containers, "ports"), index), ephemeral=False),
    _Property("privileged", "Whether the {} of a pod are privileged, of those that say so"
              " ([].securityContext.privileged).", _context("privileged")),
    _Property("allow_privilege_escalation", "Whether processes in the {} of a pod may gain rights, of those that say so"
              " ([].securityContext.allowPrivilegeEscalation).", _context("allowPrivilegeEscalation")),
    _Property("read_only_fs", "Whether the {} of a pod have a read-only root file system, of those that say so"
              " ([].securityContext.readOnlyRootFilesystem).", _context("readOnlyRootFilesystem")),
    _Property("run_as_user", "The user ids that the {} of a pod set themselves ([].securityContext.runAsUser).",
              _context("runAsUser")),
    _Property("eff_run_as_user", "The user id of each of the {} of a pod: its own, else the pod's, else 0"
              " ([].securityContext.runAsUser, requestObject.spec.securityContext.runAsUser).",
              lambda containers, index: EffectiveIds(containers, "runAsUser", index)),
    _Property("run_as_group", "The group ids that the {} of a pod set themselves ([].securityContext.runAsGroup).",
              _context("runAsGroup")),
    _Property("eff_run_as_group", "The group id of each of the {} of a pod: its own, else the pod's, else 0"
              " ([].securityContext.runAsGroup, requestObject.spec.securityContext.runAsGroup).",
              lambda containers, index: EffectiveIds(containers, "runAsGroup", index)),
    _Property("proc_mount", "How /proc is mounted in the {} of a pod, of those that say so"
              " ([].securityContext.procMount).", _context("procMount")),
    _Property("add_capabilities", "The capabilities added to the {} of a pod, in one list"
              " ([].securityContext.capabilities.add).",
              lambda containers, index: Flattened(
                  ("spec", containers, "securityContext", "capabilities", "add"), index)),
)  # fmt: skip

_LISTS = {
    "containers": "containers",
    "initContainers": "init containers",
    "ephemeralContainers": "ephemeral containers",
}


def _of_containers(containers: str, words: str) -> tuple[FieldDef, ...]:
    def row(which: _Property) -> FieldDef:
        path = f"(requestObject.spec.{containers}"
        description = which.description.format(words).replace("([]", f"{path}[]")
        return _indexed(
            f"ka.req.pod.{containers}.{which.name}", description, lambda index: which.getter(containers, index)
        )

    return tuple(row(which) for which in _PROPERTIES if which.ephemeral or containers != "ephemeralContainers")


FIELDS: tuple[FieldDef, ...] = (
    *_ABOUT_THE_EVENT,
    *_ABOUT_RBAC,
    *_ABOUT_OTHER_OBJECTS,
    *_ABOUT_PODS,
    *(row for containers, words in _LISTS.items() for row in _of_containers(containers, words)),
)
