"""What /proc/PID/cgroup says, by lines as real systems write them."""

from __future__ import annotations

import pytest

from agent.attribution.live.cgroups import UNKNOWN, Membership, read_cgroups

ID = "3c8f1b5a9d2e4f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8"
POD = "8b2ae2c5_0d6f_4c4e_9a36_1c5b7a3c9d10"

V1 = """12:pids:/system.slice/ssh.service
11:rdma:/
5:cpu,cpuacct:/system.slice/ssh.service
1:name=systemd:/system.slice/ssh.service
0::/system.slice/ssh.service
"""
V1_WITHOUT_UNIFIED = """4:memory:/user.slice/user-1000.slice/session-2.scope
1:name=systemd:/user.slice/user-1000.slice/session-2.scope
"""
V1_DOCKER = f"""12:memory:/docker/{ID}
2:name=systemd:/docker/{ID}
0::/system.slice/containerd.service
"""
V1_DOCKER_WITHOUT_SYSTEMD = f"5:memory:/docker/{ID}\n0::/\n"


def services(*names: str) -> Membership:
    return Membership(names, None)


def container(name: str) -> Membership:
    return Membership((), name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("0::/system.slice/nginx.service\n", services("nginx.service"), id="v2"),
        pytest.param(V1, services("ssh.service"), id="v1-hybrid"),
        pytest.param(V1_WITHOUT_UNIFIED, services(), id="v1-session"),
        pytest.param(
            "0::/system.slice/system-getty.slice/getty@tty1.service\n", services("getty@tty1.service"), id="template"
        ),
        pytest.param(
            r"0::/system.slice/system-openvpn\x2dclient.slice/openvpn-client@a\x2db.service",
            services(r"openvpn-client@a\x2db.service"),
            id="escaped",
        ),
        pytest.param("0::/system.slice/cron.service/worker\n", services("cron.service"), id="nested-group"),
        pytest.param("0::/system.slice/a.service/ssh.service\n", services("a.service"), id="delegated-pretender"),
        pytest.param("0::/_cgroup.service/x\n", services("cgroup.service"), id="systemd-underscore"),
        pytest.param(
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n",
            services("user@1000.service", "user@1000.service/x.service"),
            id="user-unit",
        ),
        pytest.param(
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-4242.scope\n",
            services("user@1000.service"),
            id="user-scope",
        ),
        pytest.param(
            "0::/user.slice/user-1000.slice/user@1000.service/init.scope\n",
            services("user@1000.service"),
            id="user-manager",
        ),
        pytest.param("0::/user.slice/user-1000.slice/session-3.scope\n", services(), id="session"),
        pytest.param("0::/init.scope\n", services(), id="init"),
        pytest.param("0::/\n", services(), id="root"),
        pytest.param("0::/machine.slice/x.slice\n", services(), id="slices-only"),
        pytest.param(f"0::/system.slice/docker-{ID}.scope\n", container(f"docker:{ID}"), id="docker-systemd"),
        pytest.param(V1_DOCKER, container(f"docker:{ID}"), id="docker-cgroupfs"),
        pytest.param(V1_DOCKER_WITHOUT_SYSTEMD, container(f"docker:{ID}"), id="docker-without-systemd"),
        pytest.param(
            f"0::/system.slice/docker-{ID}.scope/system.slice/ssh.service\n",
            container(f"docker:{ID}"),
            id="service-inside",
        ),
        pytest.param(f"0::/machine.slice/libpod-{ID}.scope/container\n", container(f"libpod:{ID}"), id="podman-root"),
        pytest.param(
            f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope\n",
            container(f"libpod:{ID}"),
            id="podman-rootless",
        ),
        pytest.param(f"0::/libpod_parent/libpod-{ID}\n", container(f"libpod:{ID}"), id="podman-cgroupfs"),
        pytest.param(
            f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD}.slice/cri-containerd-{ID}.scope\n",
            container(f"cri-containerd:{ID}"),
            id="kubepods-containerd",
        ),
        pytest.param(
            f"0::/kubepods.slice/kubepods-pod{POD}.slice/crio-{ID}.scope\n", container(f"crio:{ID}"), id="kubepods-crio"
        ),
        pytest.param(
            f"11:cpu:/kubepods/besteffort/pod{POD.replace('_', '-')}/{ID}\n0::/\n",
            container(f"kubepods:{ID}"),
            id="kubepods-cgroupfs",
        ),
        pytest.param(f"0::/system.slice/containerd.service/default/{ID}\n", container(f"container:{ID}"), id="bare-id"),
        pytest.param("0::/lxc.payload.web1/system.slice/nginx.service\n", container("lxc:web1"), id="lxc-payload"),
        pytest.param("12:cpuset:/lxc/web1\n1:name=systemd:/lxc/web1/init.scope\n", container("lxc:web1"), id="lxc-v1"),
        pytest.param("0::/lxc.monitor.web1\n", services(), id="lxc-monitor"),
        pytest.param(
            "0::/machine.slice/systemd-nspawn@c1.service/payload/system.slice/a.service\n",
            container("nspawn:c1"),
            id="nspawn-payload",
        ),
        pytest.param(
            "0::/machine.slice/systemd-nspawn@c1.service/supervisor\n",
            services("systemd-nspawn@c1.service"),
            id="nspawn-supervisor",
        ),
        pytest.param(
            r"0::/machine.slice/machine-qemu\x2d1\x2dvm1.scope/libvirt/emulator", container("machine:vm1"), id="libvirt"
        ),
        pytest.param("0::/../../system.slice/ssh.service\n", UNKNOWN, id="outside-our-namespace"),
        pytest.param("", UNKNOWN, id="empty"),
        pytest.param("5:cpu:/x\n", UNKNOWN, id="no-systemd-hierarchy"),
        pytest.param("garbage\n0:\n::\n", UNKNOWN, id="garbage"),
    ],
)
def test_the_unit_and_the_container(text: str, expected: Membership) -> None:
    assert read_cgroups(text) == expected
