// Loaded before libc into the processes of a test (LD_PRELOAD): what a disk and a clock may do that a test cannot ask of real ones.
//
//     $LAPIDARY_WEATHER/fsync    a part of a path: fsync and fdatasync of files whose path has it fail with EIO while this file is there
//     $LAPIDARY_WEATHER/clock    seconds, and parts of command lines: CLOCK_REALTIME is so far off in the processes that have one of them
//
// The machine's own clock and disks are left alone. CLOCK_MONOTONIC is never changed: it does not jump on a real machine either.
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

/** Reads a file of the weather; false where there is none. */
bool Read(const char* name, char (&text)[256]) {
  const char* directory = getenv("LAPIDARY_WEATHER");
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

/** Leaves a file that says that the weather has met this process; once for each kind. */
void Tell(const char* kind) {
  static char told[64];
  const char* directory = getenv("LAPIDARY_FAILPOINTS_FIRED");
  if (directory == nullptr || strstr(told, kind) != nullptr ||
      strlen(told) + strlen(kind) >= sizeof told)
    return;
  strcat(told, kind);
  char path[512];
  snprintf(path, sizeof path, "%s/weather-%s-%s.%d", directory, kind, program_invocation_short_name,
           getpid());
  const int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (file >= 0) close(file);
}

bool Fails(int file) {
  char part[256], link[64], path[512];
  if (!Read("fsync", part)) return false;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return false;
  path[length] = 0;
  if (strstr(path, part) == nullptr) return false;
  Tell("fsync");
  return true;
}

/** As it was when the process began: a process may call itself otherwise later. */
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

__attribute__((constructor)) void Begin() { CommandLine(); }

long OffBy() {
  char text[256];
  if (!Read("clock", text)) return 0;
  const long seconds = strtol(text, nullptr, 10);
  strtok(text, " \n");
  for (char* part = strtok(nullptr, " \n"); part != nullptr; part = strtok(nullptr, " \n"))
    if (strstr(CommandLine(), part) != nullptr) {
      Tell("clock");
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
    now->tv_sec += OffBy();
  return result;
}

int gettimeofday(struct timeval* now, void* zone) noexcept {
  static const auto real = Real<int (*)(struct timeval*, void*)>("gettimeofday");
  const int result = real(now, zone);
  if (result == 0 && now != nullptr) now->tv_sec += OffBy();
  return result;
}

time_t time(time_t* out) noexcept {
  static const auto real = Real<time_t (*)(time_t*)>("time");
  const time_t now = real(nullptr) + OffBy();
  if (out != nullptr) *out = now;
  return now;
}
}
