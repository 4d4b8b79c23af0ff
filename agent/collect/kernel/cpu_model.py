"""The name of the processor, from /proc/cpuinfo of any architecture."""

# Lines that name the processor or, on boards, the machine. The kernel writes "model name" on x86 and
# "Model Name" on LoongArch; "cpu" on POWER and SPARC, "cpu model" on MIPS, "uarch" on RISC-V.
NAMES = ("model name", "cpu model", "cpu", "uarch", "model", "hardware")
IMPLEMENTERS = {
    0x41: "ARM",
    0x42: "Broadcom",
    0x43: "Cavium",
    0x46: "Fujitsu",
    0x48: "HiSilicon",
    0x4D: "Motorola",
    0x4E: "NVIDIA",
    0x50: "APM",
    0x51: "Qualcomm",
    0x53: "Samsung",
    0x56: "Marvell",
    0x61: "Apple",
    0x69: "Intel",
    0x6D: "Microsoft",
    0x70: "Phytium",
    0xC0: "Ampere",
}
# Part numbers from the reference manuals, as in util-linux's lscpu.
PARTS = {
    (0x41, 0xC05): "Cortex-A5",
    (0x41, 0xC07): "Cortex-A7",
    (0x41, 0xC08): "Cortex-A8",
    (0x41, 0xC09): "Cortex-A9",
    (0x41, 0xC0D): "Cortex-A17",
    (0x41, 0xC0E): "Cortex-A17",
    (0x41, 0xC0F): "Cortex-A15",
    (0x41, 0xB76): "ARM1176",
    (0x41, 0xD01): "Cortex-A32",
    (0x41, 0xD02): "Cortex-A34",
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD04): "Cortex-A35",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD06): "Cortex-A65",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD09): "Cortex-A73",
    (0x41, 0xD0A): "Cortex-A75",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD0D): "Cortex-A77",
    (0x41, 0xD0E): "Cortex-A76AE",
    (0x41, 0xD40): "Neoverse-V1",
    (0x41, 0xD41): "Cortex-A78",
    (0x41, 0xD42): "Cortex-A78AE",
    (0x41, 0xD43): "Cortex-A65AE",
    (0x41, 0xD44): "Cortex-X1",
    (0x41, 0xD46): "Cortex-A510",
    (0x41, 0xD47): "Cortex-A710",
    (0x41, 0xD48): "Cortex-X2",
    (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4A): "Neoverse-E1",
    (0x41, 0xD4B): "Cortex-A78C",
    (0x41, 0xD4C): "Cortex-X1C",
    (0x41, 0xD4D): "Cortex-A715",
    (0x41, 0xD4E): "Cortex-X3",
    (0x41, 0xD4F): "Neoverse-V2",
    (0x41, 0xD80): "Cortex-A520",
    (0x41, 0xD81): "Cortex-A720",
    (0x41, 0xD82): "Cortex-X4",
    (0x41, 0xD83): "Neoverse-V3AE",
    (0x41, 0xD84): "Neoverse-V3",
    (0x41, 0xD85): "Cortex-X925",
    (0x41, 0xD87): "Cortex-A725",
    (0x41, 0xD8E): "Neoverse-N3",
    (0x42, 0x516): "ThunderX2",
    (0x43, 0x0A1): "ThunderX",
    (0x43, 0x0AF): "ThunderX2",
    (0x43, 0x0B8): "ThunderX3",
    (0x46, 0x001): "A64FX",
    (0x48, 0xD01): "Kunpeng-920",
    (0x4E, 0x004): "Carmel",
    (0x50, 0x000): "X-Gene",
    (0x51, 0xC00): "Falkor",
    (0x51, 0xC01): "Saphira",
    (0x51, 0x001): "Oryon",
    (0x61, 0x022): "Icestorm-M1",
    (0x61, 0x023): "Firestorm-M1",
    (0x61, 0x032): "Blizzard-M2",
    (0x61, 0x033): "Avalanche-M2",
    (0x6D, 0xD49): "Azure-Cobalt-100",
    (0x70, 0x660): "FTC660",
    (0x70, 0x661): "FTC661",
    (0x70, 0x662): "FTC662",
    (0x70, 0x663): "FTC663",
    (0xC0, 0xAC3): "Ampere-1",
    (0xC0, 0xAC4): "Ampere-1a",
}


def cpu_model(cpuinfo: str) -> str:
    """Return the processor's name; empty if `cpuinfo` has none."""
    fields: dict[str, str] = {}
    parts: dict[tuple[int, int], None] = {}  # each kind of core once, in order
    for line in cpuinfo.split("\n"):
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        # "model" is a number on x86, and the name of the board on ARM.
        if value and not value.isdecimal():
            fields.setdefault(name, value)
        if name == "cpu part":
            parts[_number(fields.get("cpu implementer", "")), _number(value)] = None
    for name in NAMES:
        if name in fields:
            # POWER adds its extensions: "POWER9, altivec supported".
            return fields[name].partition(", ")[0] if name == "cpu" else fields[name]
    if parts:
        return " + ".join(map(_part_name, parts))
    return _mainframe(fields) or _instruction_set(fields)


def _part_name(part: tuple[int, int]) -> str:
    implementer, number = part
    maker = IMPLEMENTERS.get(implementer, f"implementer {implementer:#04x}")
    return PARTS.get(part) or f"{maker} part {number:#05x}"


def _mainframe(fields: dict[str, str]) -> str:
    """Return the vendor and the machine type of an s390x processor."""
    processors = (value for name, value in fields.items() if name.startswith("processor "))
    for pair in next(processors, "").split(","):
        name, _, value = pair.partition("=")
        if name.strip() == "machine":
            return f"{fields.get('vendor_id', '')} {value.strip()}".strip()
    return ""


def _instruction_set(fields: dict[str, str]) -> str:
    return f"RISC-V {fields['isa']}" if "isa" in fields else ""


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return -1
