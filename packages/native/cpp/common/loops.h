// Hints for loops.
#pragma once

/** Before a loop with independent iterations. GCC then vectorizes it without checks. */
#if defined(__GNUC__) && !defined(__clang__)
#define LAPIDARY_INDEPENDENT _Pragma("GCC ivdep")
#else
#define LAPIDARY_INDEPENDENT
#endif
