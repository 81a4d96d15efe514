// Work on Node's worker threads, and the promise that it settles.
#pragma once

#include <node_api.h>

#include <functional>
#include <memory>

#include "direct_io.h"

namespace disk {

struct Task {
  napi_async_work work = nullptr;
  napi_deferred deferred = nullptr;
  /** Runs on a worker thread. */
  std::function<Failure()> run;
  Failure failure;
  /** A value with memory that `run` uses. Node keeps it until the task is done. */
  napi_ref kept = nullptr;
  /** The value of the promise. */
  std::function<napi_value(napi_env)> result;
};

/** Starts a task. @returns its promise */
napi_value Start(napi_env env, std::unique_ptr<Task> task);

/** Starts work without a result. @returns its promise */
napi_value StartWork(napi_env env, std::function<Failure()> work);

/** An error of Node with `errno`, `syscall` and `path`. */
napi_value ErrorOf(napi_env env, const Failure& failure);

napi_value Undefined(napi_env env);

}  // namespace disk
