// Counts what a program asks of the allocator: LD_PRELOAD this with ALLOCATION_COUNTS=FILE. The file is a table that the
// scenario reads while the program runs: a slot per thread and calling object (the program, librdkafka, libcrypto and
// so on, told by the return address), and a table of call sites. Only loads and stores besides: no lock, no allocation.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OBJECTS = 64, THREADS = 64, SITES = 4096, FRAMES = 8 };

struct site {
	uint64_t count, bytes;
	uint64_t frames[FRAMES];
};
struct table {
	uint64_t objectCount;
	struct object {
		char name[96];
		uint64_t start, end, base;
	} objects[OBJECTS];
	uint64_t threadCount;
	struct thread {
		uint64_t id;
		uint64_t counts[OBJECTS + 1];  // the last one: callers in no known object
	} threads[THREADS];
	struct site sites[SITES];
};

static struct table *table;
static __thread struct thread *mine;
static __thread uintptr_t stackEnd;
static __thread int isInside;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static int noteObject(struct dl_phdr_info *info, size_t size, void *unused) {
	(void)size, (void)unused;
	if (table->objectCount == OBJECTS) return 1;
	struct object *object = &table->objects[table->objectCount];
	object->start = UINT64_MAX;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
		uint64_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr, end = start + info->dlpi_phdr[i].p_memsz;
		if (start < object->start) object->start = start;
		if (end > object->end) object->end = end;
	}
	const char *name = strrchr(info->dlpi_name, '/');
	strncpy(object->name, name ? name + 1 : info->dlpi_name[0] ? info->dlpi_name : "program", sizeof object->name - 1);
	object->base = info->dlpi_addr;
	table->objectCount++;
	return 0;
}

__attribute__((constructor)) static void begin(void) {
	const char *path = getenv("ALLOCATION_COUNTS");
	int file = path ? open(path, O_RDWR | O_CREAT | O_TRUNC, 0600) : -1;
	if (file < 0 || ftruncate(file, sizeof(struct table))) return;
	struct table *made = mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (made == MAP_FAILED) return;
	isInside = 1;
	table = made;
	dl_iterate_phdr(noteObject, NULL);
	isInside = 0;
}

static void note(uintptr_t caller, uintptr_t frame, size_t bytes) {
	if (!table || isInside) return;
	isInside = 1;
	if (!mine) {
		uint64_t index = __atomic_fetch_add(&table->threadCount, 1, __ATOMIC_RELAXED);
		mine = &table->threads[index < THREADS ? index : THREADS - 1];
		mine->id = (uint64_t)syscall(SYS_gettid);
		pthread_attr_t attributes;
		void *low;
		size_t size;
		if (!pthread_getattr_np(pthread_self(), &attributes)) {
			pthread_attr_getstack(&attributes, &low, &size);
			stackEnd = (uintptr_t)low + size;
			pthread_attr_destroy(&attributes);
		}
	}
	uint64_t object = 0, count = table->objectCount;
	while (object < count && (caller < table->objects[object].start || caller >= table->objects[object].end)) object++;
	mine->counts[object < count ? object : OBJECTS]++;
	// Return addresses along the frame pointers, which Swift keeps. A frame that keeps none is left out.
	uint64_t frames[FRAMES] = {caller}, hash = caller;
	for (int i = 1; i < FRAMES && frame + 16 <= stackEnd && frame > (uintptr_t)&hash && frame % 8 == 0; i++) {
		frames[i] = ((uint64_t *)frame)[1];
		hash = hash * 31 + frames[i];
		if (((uintptr_t *)frame)[0] <= frame) break;
		frame = ((uintptr_t *)frame)[0];
	}
	hash ^= hash >> 17;
	for (int i = 0; i < 64; i++) {
		struct site *site = &table->sites[(hash + i) % SITES];
		if (!site->count) memcpy(site->frames, frames, sizeof frames);
		if (memcmp(site->frames, frames, sizeof frames)) continue;
		site->count++;
		site->bytes += bytes;
		break;
	}
	isInside = 0;
}

#define NOTE(bytes) note((uintptr_t)__builtin_return_address(0), *(uintptr_t *)__builtin_frame_address(0), bytes)

void *malloc(size_t bytes) {
	NOTE(bytes);
	return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
	NOTE(count * bytes);
	return __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes) {
	NOTE(bytes);
	return __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
	NOTE(bytes);
	return __libc_memalign(alignment, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
	NOTE(bytes);
	return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **result, size_t alignment, size_t bytes) {
	NOTE(bytes);
	*result = __libc_memalign(alignment, bytes);
	return *result ? 0 : 12;
}
