"""root.py: a Debian of its own in a directory, made by debootstrap once and unpacked for each test;
with a real systemd in it, where this kernel lets one run.

    with Root("bookworm", packages=["nginx"]) as root:
        root.run("apt-get", "install", "-y", "./package.deb")
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time

import service
import tap

ROOTS = os.path.join(service.BUILD, "roots")
APT = "APT::Install-Recommends=false"
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}

# Namespaces of its own for mounts, processes and names; the network is ours, so that the loopback's
# ports can be reached. systemd wants a cgroup hierarchy by its name, and asks for no other.
BOOT = r"""
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount -t sysfs sysfs "$1/sys"
mount -t tmpfs tmpfs "$1/sys/fs/cgroup"
mkdir "$1/sys/fs/cgroup/systemd"
mount -t cgroup -o none,name=systemd,xattr systemd "$1/sys/fs/cgroup/systemd"
mount -t tmpfs tmpfs "$1/run"
mount -t tmpfs tmpfs "$1/dev"
for device in null zero full random urandom tty; do
    touch "$1/dev/$device"
    mount --bind "/dev/$device" "$1/dev/$device"
done
ln -s pts/ptmx "$1/dev/ptmx"
cd "$1"
pivot_root . .
umount -l .
exec chroot . env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    SYSTEMD_PROC_CMDLINE="systemd.legacy_systemd_cgroup_controller=1 systemd.unified_cgroup_hierarchy=0" \
    /lib/systemd/systemd --system
"""


def missing():
    """Why there can be no root here; None: there can."""
    if os.getuid() != 0:
        return "needs root"
    if not shutil.which("debootstrap", path=os.environ["PATH"] + ":/usr/sbin"):
        return "debootstrap is not installed"
    return None


def mirror():
    """Where this machine has its own packages from; none: debootstrap's default."""
    said = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)"],
                          capture_output=True, text=True, check=False).stdout  # fmt: skip
    uris = [uri for uri in said.splitlines() if uri.rstrip("/").endswith("/debian")]
    return uris[:1]


def tarball(suite, packages):
    """Made once for a build directory."""
    os.makedirs(ROOTS, exist_ok=True)
    path = os.path.join(ROOTS, "-".join([suite, *packages]) + ".tar")
    with open(path + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            include = ["--include=" + ",".join(packages)] if packages else []
            with tempfile.TemporaryDirectory(dir=ROOTS) as directory:
                subprocess.run(["debootstrap", "--variant=minbase", *include, suite, directory, *mirror()],
                               check=True, stdout=subprocess.DEVNULL, timeout=600)  # fmt: skip
                subprocess.run(["tar", "-C", directory, "-cf", path + ".new", "."], check=True)
            os.rename(path + ".new", path)
    return path


class Root:
    def __init__(self, suite, packages=()):
        self.path = tempfile.mkdtemp(prefix="root-", dir=os.makedirs(ROOTS, exist_ok=True) or ROOTS)
        self.init = None  # unshare, whose child is systemd
        subprocess.run(["tar", "-C", self.path, "-xpf", tarball(suite, packages)], check=True)
        os.chmod(self.path, 0o755)
        shutil.copy("/etc/resolv.conf", self.path + "/etc/resolv.conf")
        with open(self.path + "/usr/sbin/policy-rc.d", "w", encoding="ascii") as policy:
            policy.write("#!/bin/sh\nexit 101\n")  # nothing starts while packages are unpacked
        os.chmod(self.path + "/usr/sbin/policy-rc.d", 0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shut_down()
        shutil.rmtree(self.path, ignore_errors=True)

    def at(self, path):
        return self.path + path

    def enter(self):
        """What to put before a command so that it runs inside."""
        if not self.init:
            return ["unshare", "--mount", "--kill-child", "--fork", "--pid", "sh", "-c",
                    'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"', self.path]  # fmt: skip
        return ["nsenter", "-t", str(self.pid1()), "--mount", "--pid", "--root", "--wd=/"]

    def run(self, *command, check=True, timeout=300, **environment):
        done = subprocess.run(
            [*self.enter(), "env", *(f"{k}={v}" for k, v in {**QUIET, **environment}.items()), *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip
        if check and done.returncode:
            tap.note(done.stdout[-3000:])
            raise RuntimeError(f"{command}: exit {done.returncode}")
        return done

    def install(self, *packages):
        self.run("apt-get", "-qq", "update")
        return self.run("apt-get", "-qq", "-y", "-o", APT, "install", *packages)

    # ---- systemd -----------------------------------------------------------------------------
    def pid1(self):
        with open(f"/proc/{self.init.pid}/task/{self.init.pid}/children", encoding="ascii") as file:
            return int(file.read().split()[0])

    def boot(self):
        """Starts systemd. False: it does not come up here."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.at("/usr/sbin/policy-rc.d"))
        self.init = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child",
             "sh", "-ec", BOOT, "sh", self.path],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.init.poll() is None:
            with contextlib.suppress(OSError, IndexError):
                state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
                if state in ("running", "degraded"):
                    return True
            time.sleep(0.2)
        self.shut_down()
        return False

    def shut_down(self):
        """The end of its first process is everybody's end."""
        if self.init:
            with contextlib.suppress(OSError, IndexError):
                os.kill(self.pid1(), 9)
            self.init.wait()
            self.init = None

    def systemctl(self, *arguments, check=True):
        return self.run("systemctl", "--no-pager", *arguments, check=check)
