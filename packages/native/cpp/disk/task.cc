#include "task.h"

#if defined(__linux__)

#include <utility>

namespace disk {

napi_value Undefined(napi_env env) {
  napi_value value;
  napi_get_undefined(env, &value);
  return value;
}

napi_value ErrorOf(napi_env env, const Failure& failure) {
  napi_value error, message, number;
  napi_create_string_utf8(env, failure.call, NAPI_AUTO_LENGTH, &message);
  napi_create_error(env, nullptr, message, &error);
  napi_create_int32(env, failure.error, &number);
  napi_set_named_property(env, error, "errno", number);
  napi_set_named_property(env, error, "syscall", message);
  if (!failure.path.empty()) {
    napi_value path;
    napi_create_string_utf8(env, failure.path.c_str(), failure.path.size(), &path);
    napi_set_named_property(env, error, "path", path);
  }
  return error;
}

napi_value Start(napi_env env, std::unique_ptr<Task> task) {
  napi_value promise, name;
  napi_create_promise(env, &task->deferred, &promise);
  napi_create_string_utf8(env, "lapidary:disk", NAPI_AUTO_LENGTH, &name);
  const auto execute = [](napi_env, void* data) {
    Task& running = *static_cast<Task*>(data);
    running.failure = running.run();
  };
  const auto complete = [](napi_env of, napi_status, void* data) {
    const std::unique_ptr<Task> done(static_cast<Task*>(data));
    if (done->kept != nullptr) napi_delete_reference(of, done->kept);
    napi_delete_async_work(of, done->work);
    if (done->failure.error != 0)
      napi_reject_deferred(of, done->deferred, ErrorOf(of, done->failure));
    else
      napi_resolve_deferred(of, done->deferred, done->result(of));
  };
  napi_create_async_work(env, nullptr, name, execute, complete, task.get(), &task->work);
  napi_queue_async_work(env, task.release()->work);
  return promise;
}

napi_value StartWork(napi_env env, std::function<Failure()> work) {
  auto task = std::make_unique<Task>();
  task->run = std::move(work);
  task->result = Undefined;
  return Start(env, std::move(task));
}

}  // namespace disk

#endif
