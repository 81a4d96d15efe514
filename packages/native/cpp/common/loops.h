// Hints for loops.
#pragma once

/** Before a loop whose iterations do not depend on one another. GCC then vectorizes it unchecked. */
#if defined(__GNUC__) && !defined(__clang__)
#define LAPIDARY_INDEPENDENT _Pragma("GCC ivdep")
#else
#define LAPIDARY_INDEPENDENT
#endif
