import pytest

from agent.collect.kernel.mounts import Mount, read_mounts

MOUNTINFO = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
24 27 0:6 / /dev rw - devtmpfs devtmpfs rw
25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw
27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
31 27 254:1 /srv/www /var/www rw - ext4 /dev/vda1 rw
32 27 254:16 / /mnt/big\040disk rw - xfs /dev/vdb rw
33 27 254:16 / /again rw - xfs /dev/vdb rw
34 27 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro
35 27 0:50 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
36 27 0:51 / /mnt/nas rw - nfs4 nas:/export rw
37 27 0:52 / /mnt/share rw - cifs //nas/share rw
38 27 0:53 / /tank rw - zfs tank rw
39 38 0:54 / /tank/home rw - zfs tank/home rw
40 27 0:55 /@home /home rw - btrfs /dev/vdc rw
41 27 0:55 /@ /btrfs rw - btrfs /dev/vdc rw
42 27 254:32 / /covered rw - ext4 /dev/vdd rw
43 42 0:60 / /covered rw - tmpfs tmpfs rw
"""


def test_mounts_are_real_file_systems_and_each_device_once() -> None:
    assert read_mounts(MOUNTINFO) == [
        Mount("/", "/dev/vda1", "ext4"),
        Mount("/again", "/dev/vdb", "xfs"),
        Mount("/home", "/dev/vdc", "btrfs"),
        Mount("/tank", "tank", "zfs", data_sets=("/tank/home",)),
    ]


ROOT = "20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
# Lines of mountinfo, and the mount points that are read.
SYSTEMS: dict[str, tuple[str, list[str]]] = {
    "overlay alone": ("50 1 0:99 / / rw - overlay overlay rw,lowerdir=/x\n", ["/"]),
    "a share of the host as the root": ("70 1 0:60 / / rw - virtiofs myfs rw\n", ["/"]),
    "9p as the root": ("70 1 0:60 / / rw - 9p rootfs rw\n", ["/"]),
    "OpenWrt": (
        (
            "15 1 0:12 / /rom ro - squashfs /dev/root ro\n"
            "20 1 31:4 / /overlay rw - jffs2 /dev/mtdblock4 rw\n"
            "21 1 0:15 / / rw - overlay overlayfs:/overlay rw\n"
        ),
        ["/"],
    ),
    "a file system that this version does not know": (
        ROOT + "25 20 8:17 / /new rw - newfs /dev/sdb1 rw\n",
        ["/", "/new"],
    ),
    "images": (ROOT + "25 20 7:3 / /cd ro - iso9660 /dev/sr0 ro\n", ["/"]),
    "nothing after the type": (ROOT + "23 20 0:20 / /root rw,noatime - lxfs\n", ["/"]),
    "nothing after the hyphen": (ROOT + "23 20 0:20 / /root rw,noatime - \n", ["/"]),
    "no hyphen": (ROOT + "23 20 0:20 / /root rw,noatime\n\n", ["/"]),
    "an empty source": (ROOT + "35 20 0:131 / /local rw,nosuid - tmpfs  rw,size=8192k\n", ["/"]),
    "a source that is a hyphen": (ROOT + "22 20 0:19 / /dev/shm rw - tmpfs - rw\n", ["/"]),
    "several optional fields": (
        "20 1 8:1 / / rw,relatime shared:1 master:2 propagate_from:3 - ext4 /dev/sda1 rw\n",
        ["/"],
    ),
    "hyphens in the point": (
        ROOT + "24 20 8:17 / /mnt/a\\040-\\040b rw - xfs /dev/sdb1 rw\n",
        ["/", "/mnt/a - b"],
    ),
    "subvolumes with device numbers of their own": (
        (
            "30 1 0:25 /@nix /nix rw - btrfs /dev/vda2 rw\n"
            "31 1 0:26 /@boot /boot rw - btrfs /dev/vda2 rw\n"
        ),
        ["/nix"],
    ),
    "one device by two names": (
        ROOT
        + "30 20 7:0 / /a rw - ext4 /dev/loop0 rw\n31 20 7:0 / /b rw - ext4 /dev/disk/by-label/x rw\n",
        ["/", "/a"],
    ),
    "initramfs below the disk": ("1 1 0:1 / / rw - rootfs rootfs rw\n" + ROOT, ["/"]),
    "two mounts on the disk on the initramfs": (
        (
            "1 1 0:1 / / rw - rootfs rootfs rw\n20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
            "21 20 8:17 / /data rw - xfs /dev/sdb1 rw\n"
        ),
        ["/", "/data"],
    ),
    "OpenVZ 6": ("50 1 0:30 / / rw - simfs /dev/simfs rw\n", ["/"]),
    "NFS, autofs and CIFS beside the disk": (
        ROOT
        + "60 20 0:50 / /n rw - nfs4 srv:/x rw\n61 20 0:51 / /a rw - autofs auto rw\n"
        + "62 20 0:52 / /c rw - cifs //srv/x rw\n",
        ["/"],
    ),
    "hidden by a later mount on a folder above": (
        ROOT
        + "30 20 7:0 / /p/data rw - ext4 /dev/loop0 rw\n31 20 7:1 / /p rw - ext4 /dev/loop1 rw\n",
        ["/", "/p"],
    ),
    "hidden with what is mounted in it": (
        ROOT
        + "30 20 7:0 / /p/data rw - ext4 /dev/loop0 rw\n31 30 7:2 / /p/data/x rw - ext4 /dev/loop2 rw\n"
        + "32 20 7:1 / /p rw - ext4 /dev/loop1 rw\n",
        ["/", "/p"],
    ),
    "hidden by a later mount on itself": (
        ROOT
        + "30 20 7:0 / /p rw - ext4 /dev/loop0 rw\n31 30 7:1 / /p/x rw - ext4 /dev/loop1 rw\n"
        + "32 30 0:60 / /p rw - tmpfs tmpfs rw\n",
        ["/"],
    ),
    "a folder whose name begins alike hides nothing": (
        ROOT
        + "30 20 7:0 / /data2 rw - ext4 /dev/loop0 rw\n31 20 7:1 / /data rw - ext4 /dev/loop1 rw\n",
        ["/", "/data", "/data2"],
    ),
    "mounted before the root that it was moved into": (
        "25 20 8:17 / /run/disk rw - xfs /dev/sdb1 rw\n" + ROOT,
        ["/", "/run/disk"],
    ),
}


@pytest.mark.parametrize(("mountinfo", "points"), SYSTEMS.values(), ids=SYSTEMS)
def test_mounts_of_odd_systems(mountinfo: str, points: list[str]) -> None:
    assert [mount.point for mount in read_mounts(mountinfo)] == points


def test_many_mounts_of_containers_are_read_fast() -> None:
    lines = [
        f"{100 + n} 20 0:{n} / /var/lib/docker/overlay2/{n}/merged rw - overlay overlay rw\n"
        for n in range(20_000)
    ]

    assert [mount.point for mount in read_mounts(ROOT + "".join(lines))] == ["/"]


# Bytes of a mount point as the kernel writes it, and as it is in the file system.
NAMES = {
    "space": (rb"a\040b", b"a b"),
    "tab": (rb"a\011b", b"a\tb"),
    "newline": (rb"a\012b", b"a\nb"),
    "backslash": (rb"a\134040b", rb"a\040b"),
    "emoji": ("disk💾".encode(), "disk💾".encode()),
    "no-break space": (b"mes\xc2\xa0fichiers", b"mes\xc2\xa0fichiers"),
    "full-width space": (b"a\xe3\x80\x80b", b"a\xe3\x80\x80b"),
    "Latin-1": (b"donn\xe9es", b"donn\xe9es"),
    "next line": (b"a\xc2\x85b", b"a\xc2\x85b"),
    "line separator": (b"a\xe2\x80\xa8b", b"a\xe2\x80\xa8b"),
    "vertical tab": (b"a\x0bb", b"a\x0bb"),
    "form feed": (b"a\x0cb", b"a\x0cb"),
    "carriage return": (b"a\rb", b"a\rb"),
    "record separator": (b"a\x1eb", b"a\x1eb"),
    "cut in a character": (b"a\xe7\xbd", b"a\xe7\xbd"),
}


@pytest.mark.parametrize(("written", "name"), NAMES.values(), ids=NAMES)
def test_a_mount_point_can_hold_any_bytes(written: bytes, name: bytes) -> None:
    line = b"32 20 8:17 / /mnt/" + written + b" rw - xfs /dev/sdb1 rw\n"

    mounts = read_mounts((ROOT.encode() + line).decode("utf-8", "surrogateescape"))

    points = [mount.point.encode("utf-8", "surrogateescape") for mount in mounts]
    assert points == [b"/", b"/mnt/" + name]
