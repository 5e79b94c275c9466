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


def word_at(address):
    return struct.unpack("<Q", bytes(gdb.selected_inferior().read_memory(address, 8)))[0]


def stack_pointer(task):
    """Return where a task's kernel stack is used from, or None for one in user mode."""
    if not int(task["on_cpu"]):
        return int(task["thread"]["sp"])
    cpu = int(task["thread_info"]["cpu"])
    [t for t in gdb.selected_inferior().threads() if t.num == cpu + 1][0].switch()
    at = int(gdb.parse_and_eval("(unsigned long)$sp"))
    if at < 1 << 63:
        return None
    low = int(task["stack"])
    if not low <= at < low + 0x4000:
        # An interrupt has a stack of its own, and at its top lies where the task's was
        # (arch/x86/include/asm/irq_stack.h, call_on_stack).
        at = word_at((at | 0x3FFF) + 1 - 8)
    return at if low <= at < low + 0x4000 else None


def stack_of(task, at):
    """Return addresses on the kernel stack, the newest first: words of kernel text behind a call."""
    memory = gdb.selected_inferior()
    end = int(task["stack"]) + 0x4000
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
    """Walk the maple tree of an mm (lib/maple_tree.c, include/linux/maple_tree.h)."""
    area, node_type = (kernel_type(k).pointer() for k in ("vm_area_struct", "maple_node"))
    leaf, arange = 1, 3

    def walk(entry, low, high):
        node = gdb.Value(entry & ~0xFF).cast(node_type)
        kind = (entry >> 3) & 0xF
        body = node["ma64"] if kind == arange else node["mr64"]
        slots = body["slot"].type.range()[1] + 1
        for slot in range(slots):
            top = high
            if slot < slots - 1:
                pivot = int(body["pivot"][slot])
                # A pivot of 0 behind the first slot is unused: the slot before was the last.
                top = min(pivot, high) if pivot or slot == 0 else high
            child = int(body["slot"][slot].cast(ULONG))
            if child and kind == leaf:
                yield gdb.Value(child).cast(area)
            elif child:
                yield from walk(child, low, top)
            if top >= high:
                return
            low = top + 1

    root = int(mm["mm_mt"]["ma_root"].cast(ULONG))
    # The lowest bits of a root that is a node are 10 (xa_is_node).
    if (root & 3) == 2:
        yield from walk(root, 0, (1 << 64) - 1)
    elif root:
        yield gdb.Value(root).cast(area)


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
        at = stack_pointer(task)
        if at is None:
            print("    in user mode")
            continue
        for address in stack_of(task, at):
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
