"""Fields of system call events that people write into rules for audit events, and what they want there."""

from __future__ import annotations

INSTEAD: dict[str, str] = {
    "k8s.ns.name": "ka.target.namespace",
    "k8s.pod.name": "ka.target.name",
    "k8s.pod.ip": "ka.sourceips",
    "k8s.pod.labels": "jevt.value[/requestObject/metadata/labels]",
    "k8s.pod.label": "jevt.value[/requestObject/metadata/labels/...]",
    "k8s.pod.id": "jevt.value[/objectRef/uid]",
    "k8s.pod.uid": "jevt.value[/objectRef/uid]",
    "k8s.deployment.name": "ka.target.name",
    "k8s.rc.name": "ka.target.name",
    "k8s.rs.name": "ka.target.name",
    "k8s.svc.name": "ka.target.name",
    "container.name": "ka.req.pod.containers.name",
    "container.id": "ka.req.pod.containers.name",
    "container.image": "ka.req.pod.containers.image",
    "container.image.id": "ka.req.pod.containers.image",
    "container.image.digest": "ka.req.pod.containers.image",
    "container.image.tag": "ka.req.pod.containers.image",
    "container.image.repository": "ka.req.pod.containers.image.repository",
    "container.privileged": "ka.req.pod.containers.privileged",
    "container.mounts": "ka.req.pod.volumes.hostpath",
    "container.mount": "ka.req.pod.volumes.hostpath",
    "container.host_pid": "ka.req.pod.host_pid",
    "container.host_network": "ka.req.pod.host_network",
    "container.host_ipc": "ka.req.pod.host_ipc",
    "proc.cmdline": "ka.uri.param[command]",
    "proc.args": "ka.uri.param[command]",
    "proc.name": "ka.uri.param[command]",
    "proc.exepath": "ka.uri.param[command]",
    "user.name": "ka.user.name",
    "user.uid": "jevt.value[/user/uid]",
    "user.loginname": "ka.user.name",
    "group.name": "ka.user.groups",
    "fd.cip": "ka.sourceips",
    "fd.rip": "ka.sourceips",
    "fd.sip": "ka.sourceips",
    "fd.ip": "ka.sourceips",
    "fd.name": "ka.uri",
    "evt.type": "ka.verb",
    "evt.dir": "ka.stage",
    "evt.res": "ka.response.code",
    "evt.args": "evt.plugininfo",
}
"""What comes nearest to a field of system call events."""

FAMILIES = ("proc", "thread", "container", "k8s", "fd", "fs", "user", "group", "syslog", "fdlist", "mesos")


def help_for(name: str) -> str:
    """What to write instead of a field of another source; empty if the name is none of those."""
    instead = INSTEAD.get(name)
    if instead is not None:
        return f"that is a field of system call events; in audit events use `{instead}`."
    if name.partition(".")[0] in FAMILIES:
        return "that is a field of system call events, which audit events do not have; `lanner fields` lists theirs."
    return ""
