#include <stddef.h>

/// Heap allocations of this thread so far; 0 where they are not counted.
long allocation_count(void);

/// Whether they are: on Linux with glibc.
int allocations_are_counted(void);
