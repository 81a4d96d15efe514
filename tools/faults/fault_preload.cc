// Loaded before libc into the processes of a test (LD_PRELOAD). Injects faults of disks and clocks that a test cannot cause otherwise.
//
//     $LAPIDARY_FAULT_DIR/fsync    a substring: while this file exists, fsync and fdatasync of files whose path contains it fail with EIO
//     $LAPIDARY_FAULT_DIR/clock    seconds, then substrings: CLOCK_REALTIME is off by these seconds in processes whose command line contains one
//
// The clock and the disks of the machine are not changed. CLOCK_MONOTONIC is never changed, because it does not jump on a real machine.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

namespace {

template <typename Function>
Function Real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

/** Reads a file of the fault directory; false if it does not exist or is empty. */
bool Read(const char* name, char (&text)[256]) {
  const char* directory = getenv("LAPIDARY_FAULT_DIR");
  if (directory == nullptr) return false;
  char path[512];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  text[length < 0 ? 0 : length] = 0;
  return length > 0;
}

/** Writes a file that records that a fault was injected into this process; once for each kind. */
void Record(const char* kind) {
  static char recorded[64];
  const char* directory = getenv("LAPIDARY_FAILPOINTS_FIRED");
  if (directory == nullptr || strstr(recorded, kind) != nullptr ||
      strlen(recorded) + strlen(kind) >= sizeof recorded)
    return;
  strcat(recorded, kind);
  char path[512];
  snprintf(path, sizeof path, "%s/preload-%s-%s.%d", directory, kind, program_invocation_short_name,
           getpid());
  const int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (file >= 0) close(file);
}

bool Fails(int file) {
  char substring[256], link[64], path[512];
  if (!Read("fsync", substring)) return false;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return false;
  path[length] = 0;
  if (strstr(path, substring) == nullptr) return false;
  Record("fsync");
  return true;
}

/** The command line when the process started, because a process may change its title later. */
const char* CommandLine() {
  static char line[4096];
  static const bool read_once = [] {
    const int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    const ssize_t length = file < 0 ? 0 : read(file, line, sizeof line - 1);
    if (file >= 0) close(file);
    for (ssize_t i = 0; i < length; i++)
      if (line[i] == 0) line[i] = ' ';
    return true;
  }();
  (void)read_once;
  return line;
}

__attribute__((constructor)) void Start() { CommandLine(); }

long ClockOffset() {
  char text[256];
  if (!Read("clock", text)) return 0;
  const long seconds = strtol(text, nullptr, 10);
  strtok(text, " \n");
  for (char* part = strtok(nullptr, " \n"); part != nullptr; part = strtok(nullptr, " \n"))
    if (strstr(CommandLine(), part) != nullptr) {
      Record("clock");
      return seconds;
    }
  return 0;
}

}  // namespace

extern "C" {

int fsync(int file) {
  static const auto real = Real<int (*)(int)>("fsync");
  if (!Fails(file)) return real(file);
  errno = EIO;
  return -1;
}

int fdatasync(int file) {
  static const auto real = Real<int (*)(int)>("fdatasync");
  if (!Fails(file)) return real(file);
  errno = EIO;
  return -1;
}

int clock_gettime(clockid_t clock, struct timespec* now) noexcept {
  static const auto real = Real<int (*)(clockid_t, struct timespec*)>("clock_gettime");
  const int result = real(clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += ClockOffset();
  return result;
}

int gettimeofday(struct timeval* now, void* zone) noexcept {
  static const auto real = Real<int (*)(struct timeval*, void*)>("gettimeofday");
  const int result = real(now, zone);
  if (result == 0 && now != nullptr) now->tv_sec += ClockOffset();
  return result;
}

time_t time(time_t* out) noexcept {
  static const auto real = Real<time_t (*)(time_t*)>("time");
  const time_t now = real(nullptr) + ClockOffset();
  if (out != nullptr) *out = now;
  return now;
}
}
