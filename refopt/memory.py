"""Memory of the compiled loops, in LLVM's language: arrays are counted by plain additions, and small ones used again.

These functions take the place of numba's own inside one library. What they assume: while a run is in machine code, no
other thread sees its arrays; and for ``SPARE``, that no other thread is in the same library, because the interpreter's
lock is held. An array of up to 1016 bytes that nobody refers to any more is kept in a list of its size, unless there
are 64 already: the results of the user's functions were allocated elsewhere, and would pile up.

A block begins with what numba calls its MemInfo: the count, a destructor, its argument, the data, their size, and an
allocator, each of eight bytes. A spare one begins with the next one, the null of its destructor, and its place.
"""

COUNTED = """
define void @NRT_incref(ptr %block) INLINED {
    %none = icmp eq ptr %block, null
    br i1 %none, label %out, label %some
some:
    %n = load i64, ptr %block
    %more = add i64 %n, 1
    store i64 %more, ptr %block
    br label %out
out:
    ret void
}
define void @NRT_decref(ptr %block) INLINED {
    %none = icmp eq ptr %block, null
    br i1 %none, label %out, label %some
some:
    %n = load i64, ptr %block
    %less = sub i64 %n, 1
    store i64 %less, ptr %block
    %last = icmp eq i64 %less, 0
    br i1 %last, label %free, label %out
free:
    call void @given_back(ptr %block)
    br label %out
out:
    ret void
}
declare void @NRT_MemInfo_call_dtor(ptr)
"""

PLAIN = """
define void @given_back(ptr %block) noinline {
    call void @NRT_MemInfo_call_dtor(ptr %block)
    ret void
}
"""

SPARE = """
@spare = internal global [128 x ptr] zeroinitializer  ; for each size, the first spare block; its first word is the next
define void @given_back(ptr %block) noinline {
    %dtor.at = getelementptr i64, ptr %block, i64 1
    %dtor = load ptr, ptr %dtor.at
    %size.at = getelementptr i64, ptr %block, i64 4
    %size = load i64, ptr %size.at
    %plain = icmp eq ptr %dtor, null
    %rest = and i64 %size, -1017
    %small = icmp eq i64 %rest, 0
    %kept = and i1 %plain, %small
    br i1 %kept, label %keep, label %free
keep:
    %first = getelementptr i8, ptr @spare, i64 %size
    %next = load ptr, ptr %first
    %none = icmp eq ptr %next, null
    br i1 %none, label %put, label %below
below:
    %below.at = getelementptr i64, ptr %next, i64 2
    %depth = load i64, ptr %below.at
    %deep = icmp sgt i64 %depth, 63
    br i1 %deep, label %free, label %put
put:
    %under = phi i64 [0, %keep], [%depth, %below]
    %depth.here = add i64 %under, 1
    %depth.at = getelementptr i64, ptr %block, i64 2
    store i64 %depth.here, ptr %depth.at
    store ptr %next, ptr %block
    store ptr %block, ptr %first
    ret void
free:
    call void @NRT_MemInfo_call_dtor(ptr %block)
    ret void
}
define ptr @NRT_MemInfo_alloc_aligned(i64 %size, i32 %align) noinline {
    %rest = and i64 %size, -1017
    %small = icmp eq i64 %rest, 0
    br i1 %small, label %look, label %new
look:
    %first = getelementptr i8, ptr @spare, i64 %size
    %block = load ptr, ptr %first
    %none = icmp eq ptr %block, null
    br i1 %none, label %new, label %take
take:
    %next = load ptr, ptr %block
    store ptr %next, ptr %first
    store i64 1, ptr %block
    ret ptr %block
new:
    %whole = add i64 %size, 112  ; 48 for what it begins with, 64 to begin the data at a multiple of 64
    %fresh = call ptr @NRT_Allocate(i64 %whole)
    %failed = icmp eq ptr %fresh, null
    br i1 %failed, label %out, label %made
made:
    %address = ptrtoint ptr %fresh to i64
    %past = add i64 %address, 111
    %aligned = and i64 %past, -64
    %data = inttoptr i64 %aligned to ptr
    %a = insertvalue {i64, ptr, ptr, ptr, i64, ptr} {i64 1, ptr null, ptr null, ptr null, i64 0, ptr null}, ptr %data, 3
    %b = insertvalue {i64, ptr, ptr, ptr, i64, ptr} %a, i64 %size, 4
    store {i64, ptr, ptr, ptr, i64, ptr} %b, ptr %fresh
    ret ptr %fresh
out:
    ret ptr null
}
declare ptr @NRT_Allocate(i64)
"""


def source(spare: bool, inlined: bool) -> str:
    """The functions: with blocks used again or not, counting as a part of its callers or called."""
    return COUNTED.replace("INLINED", "alwaysinline" if inlined else "noinline") + (SPARE if spare else PLAIN)
