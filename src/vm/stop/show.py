# Run by gdb with the kernel's symbols, on a machine that stands still. HOLE is an address or None.
import gdb
import struct

ULONG = gdb.lookup_type("unsigned long")


def heading(text):
    print("\n== " + text)


def attempt(command):
    try:
        print(gdb.execute(command, to_string=True).rstrip())
    except gdb.error as error:
        print("%s: %s" % (command, error))


def kernel_type(name):
    return gdb.lookup_type("struct " + name)


def container(pointer, kind, field):
    offset = [f for f in kernel_type(kind).fields() if f.name == field][0].bitpos // 8
    byte = gdb.lookup_type("char").pointer()
    return (pointer.cast(byte) - offset).cast(kernel_type(kind).pointer())


def tasks():
    first = gdb.parse_and_eval("&init_task")
    task = container(first["tasks"]["next"], "task_struct", "tasks")
    while task != first:
        head = task["signal"]["thread_head"].address
        node = head.dereference()["next"]
        while node != head:
            yield container(node, "task_struct", "thread_node")
            node = node["next"]
        task = container(task["tasks"]["next"], "task_struct", "tasks")


def is_text(address):
    low, high = (int(gdb.parse_and_eval("(unsigned long)&" + s)) for s in ("_stext", "_etext"))
    return low <= address < high


def stack_of(task):
    """Return addresses on the kernel stack, the newest first: words of kernel text behind a call."""
    memory = gdb.selected_inferior()
    at = int(task["thread"]["sp"])
    end = (at | 0x3FFF) + 1
    words = bytes(memory.read_memory(at, end - at))
    for (word,) in struct.iter_unpack("<Q", words[: len(words) // 8 * 8]):
        if not is_text(word):
            continue
        code = bytes(memory.read_memory(word - 5, 5))
        if code[0] == 0xE8 or code[3] == 0xFF or code[2] == 0xFF:
            yield word


def symbol(address):
    text = gdb.execute("info symbol 0x%x" % address, to_string=True).strip()
    name = text.split(" in section")[0].replace(" ", "")
    line = gdb.execute("info line *0x%x" % (address - 1), to_string=True)
    place = ""
    if line.startswith("Line "):
        place = "  (%s:%s)" % (line.split('"')[1], line.split()[1])
    return name + place


def vmas(mm):
    """Walk the maple tree of an mm."""

    def walk(entry, low, high):
        value = int(entry)
        if (value & 3) != 2 or value < 4096:
            if value:
                yield gdb.Value(value).cast(kernel_type("vm_area_struct").pointer())
            return
        node = gdb.Value(value & ~0xFF).cast(kernel_type("maple_node").pointer())
        kind = (value >> 3) & 0xF
        body = node["ma64"] if kind == 3 else node["mr64"]
        slots = body["slot"].type.range()[1] + 1
        at = low
        for slot in range(slots):
            top = high
            if slot < slots - 1:
                pivot = int(body["pivot"][slot])
                if pivot == 0 and slot > 0:
                    top = high
                else:
                    top = min(pivot, high)
            child = body["slot"][slot].cast(ULONG)
            if kind == 1:
                if int(child):
                    yield gdb.Value(int(child)).cast(kernel_type("vm_area_struct").pointer())
            else:
                yield from walk(child, at, top)
            if top >= high:
                return
            at = top + 1

    yield from walk(mm["mm_mt"]["ma_root"].cast(ULONG), 0, (1 << 64) - 1)


def show_cpus():
    heading("CPUs")
    for cpu in sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.num):
        cpu.switch()
        print("CPU %d" % (cpu.num - 1))
        attempt("bt 24")


def show_threads(own):
    heading("threads of the storm")
    for task in own:
        fields = ("on_cpu", "on_rq")
        state = ", ".join("%s %d" % (f, int(task[f])) for f in fields)
        name, number = task["comm"].string(), int(task["pid"])
        print("%s (%d): state %d, %s" % (name, number, int(task["__state"]), state))
        if int(task["on_cpu"]):
            print("    runs; see the CPUs")
            continue
        for address in stack_of(task):
            print("    " + symbol(address))


def show_vmas(mm):
    heading("vmas around 0x%x, as the tree has them" % HOLE)
    for vma in vmas(mm):
        start, end = int(vma["vm_start"]), int(vma["vm_end"])
        if start < HOLE + (64 << 12) and end + (64 << 12) > HOLE:
            flags = int(vma["vm_flags"])
            word = "".join(c if flags >> bit & 1 else "-" for bit, c in enumerate("rwxs"))
            here = "  << covers it" if start <= HOLE < end else ""
            print("    %x-%x %s pgoff %x%s" % (start, end, word, int(vma["vm_pgoff"]), here))


def part(show, *args):
    try:
        show(*args)
    except (gdb.error, IndexError, ValueError) as error:
        print("can't be shown: %s; it takes a vmlinux with debug information" % error)


def storm():
    """Return the threads of the program: all that have an mm, but for process 1."""
    try:
        return [t for t in tasks() if int(t["mm"]) and int(t["tgid"]) != 1]
    except (gdb.error, IndexError) as error:
        heading("threads of the storm")
        print("can't be shown: %s; it takes a vmlinux with debug information" % error)
        return []


part(show_cpus)
own = storm()
part(show_threads, own)
if HOLE and own:
    part(show_vmas, own[0]["mm"])
