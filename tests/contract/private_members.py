"""The private members of libraries that this project uses: one table.

Private is what a library does not document, whatever its name: all of gunicorn's classes that are
extended here, and names with an underscore elsewhere. Each may change in any version of its
library; `test_private_members.py` then says which one did, and where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass

MASTER = "manager/server/gunicorn_master.py"
WORKER = "manager/server/gunicorn_worker.py"
CLOSING = "manager/server/closing_connections.py"
UNREADER = "manager/server/unreader.py"
LOGGER = "manager/server/gunicorn_log.py"
ERRORS = "manager/server/gunicorn_errors.py"
BODY = "manager/server/request_body.py"
SETTINGS = "manager/server/gunicorn_settings.py"
SERVICE = "manager/server/service.py"
CLIENT = "manager/client/client.py"
HTTPX = "base/network/_httpx.py"
LOGGING = "base/logging/setup.py"
UNREAD = "workers/outbound/unread.py"
PROCESS = "workers/pool/worker_process.py"
C_API = "workers/genvm/engine/c_api.py"
ENGINE = "workers/genvm/engine/engine.py"
EXPORTS = "workers/genvm/engine/exports.py"
IMPORTS = "workers/genvm/engine/imports.py"
MEMORY = "workers/genvm/engine/memory.py"

ATTRIBUTE = "attribute"
"""What objects of a class have: declared in it, or assigned by a method."""

MODULE = "module"
VALUE = "value"
"""What a module or a class has that is neither a function nor a class."""

CLASS = "class"


@dataclass(frozen=True, slots=True)
class Member:
    """`name` in `owner`, a module or `module:Class`.

    `kind` is one of the above or a function's parameters, as `(self, pid, sig)`. `caller`, of a
    method that is overridden, is the library's function that calls it: `module:Class.method`.
    """

    library: str
    owner: str
    name: str
    kind: str
    file: str
    use: str
    caller: str = ""


def _gunicorn(owner: str, file: str, *members: tuple[str, ...]) -> list[Member]:
    return [Member("gunicorn", owner, name, kind, file, *rest) for name, kind, *rest in members]


_ARBITER = "gunicorn.arbiter:Arbiter"
_WORKER = "gunicorn.workers.gthread:ThreadWorker"
_BASE_WORKER = "gunicorn.workers.base:Worker"
_CONNECTION = "gunicorn.workers.gthread:TConn"
_APPLICATION = "gunicorn.app.base:BaseApplication"
_C = "wasmtime._ffi"

MEMBERS = [
    # ------------------------------------------------------------------------------ the master
    *_gunicorn(
        _ARBITER, MASTER,
        ("run", "(self)", "our loop in its place"),
        ("start", "(self)", "makes the listeners, and calls init_signals"),
        ("wait_for_signals", "(self, timeout)", "the wait of our loop"),
        ("murder_workers", "(self)", "ends workers whose heartbeat has stopped"),
        ("halt", "(self, reason, exit_status)", "stops all and exits"),
        ("stop", "(self, graceful)", "stops all after a fault", f"{_ARBITER}.halt"),
        ("init_signals", "(self)", "which signals are handled", f"{_ARBITER}.start"),
        ("SIGNALS", VALUE, "which signals are handled"),
        ("handle_hup", "(self)", "a reload, in our own step"),
        ("handle_usr2", "(self)", "no second master"),
        ("handle_chld", "(self)", "reaps workers"),
        ("handle_term", "(self)", "a stop"),
        ("handle_int", "(self)", "a quick stop"),
        ("handle_quit", "(self)", "a quick stop"),
        ("handle_ttin", "(self)", "one worker more"),
        ("handle_ttou", "(self)", "one worker fewer"),
        ("handle_usr1", "(self)", "of no use here, but no fault"),
        ("handle_winch", "(self)", "of no use here, but no fault"),
        ("reload", "(self)", "our own, at which no client is cut off"),
        ("setup", "(self, app)", "takes over new settings"),
        ("manage_workers", "(self)", "which workers start and retire", f"{_ARBITER}.handle_ttin"),
        ("spawn_worker", "(self)", "forks with signals blocked"),
        ("kill_worker", "(self, pid, sig)", "signals a worker"),
        ("num_workers", VALUE, "how many workers are wanted"),
        ("WORKERS", VALUE, "the workers by pid"),
        ("LISTENERS", VALUE, "the listening sockets"),
        ("app", ATTRIBUTE, "the application"),
    ),
    *_gunicorn(
        "gunicorn.errors:HaltServer", MASTER,
        ("reason", ATTRIBUTE, "why the master ends"),
        ("exit_status", ATTRIBUTE, "with which code"),
    ),
    *_gunicorn(
        "gunicorn.sock:BaseSocket", MASTER,
        ("sock", ATTRIBUTE, "replaced when its path was removed"),
    ),
    *_gunicorn(
        _ARBITER, SETTINGS,
        ("systemd", ATTRIBUTE, "whether Unix sockets stay when it stops"),
    ),
    # ------------------------------------------------------------------------------ the worker
    *_gunicorn(
        _WORKER, WORKER,
        ("wait_for_and_dispatch_events", "(self, timeout)", "one turn", f"{_WORKER}.run"),
        ("murder_keepalived", "(self, force)", "closes idle connections"),
        ("murder_pending", "(self)", "closes connections without a head"),
        ("init_process", "(self)", "the life of the process", f"{_ARBITER}.spawn_worker"),
        ("get_thread_pool", "(self)", "our threads", f"{_WORKER}.init_process"),
        ("accept", "(self, listener)", "want of descriptors", f"{_WORKER}.set_accept_enabled"),
        ("set_accept_enabled", "(self, enabled)", "not when retired", f"{_WORKER}.run"),
        ("enqueue_req", "(self, conn)", "the head first", f"{_WORKER}.accept"),
        ("on_pending_socket_readable", "(self, conn, client)", "the rest of a head"),
        ("handle", "(self, conn)", "serves a request, in its thread"),
        ("finish_request", "(self, conn, fs)", "after a request"),
        ("_keepalive_after", "(self, conn, keepalive)", "a shorter wait", f"{_WORKER}.handle"),
        ("handle_exit", "(self, sig, frame)", "SIGTERM", f"{_BASE_WORKER}.init_signals"),
        ("alive", ATTRIBUTE, "whether the main loop goes on"),
        ("keepalived_conns", ATTRIBUTE, "connections between two requests, oldest first"),
        ("pending_conns", ATTRIBUTE, "connections without a whole head, oldest first"),
        ("nr_conns", ATTRIBUTE, "how many connections there are"),
        ("worker_connections", ATTRIBUTE, "how many there may be"),
        ("method_queue", ATTRIBUTE, "brings work from threads to the main loop"),
        ("poller", ATTRIBUTE, "the selector of the main loop"),
        ("tpool", ATTRIBUTE, "our threads"),
    ),
    *_gunicorn(
        _BASE_WORKER, WORKER,
        ("init_signals", "(self)", "our own signals", f"{_BASE_WORKER}.init_process"),
        ("handle_error", "(self, req, client, addr, exc)", "in JSON", f"{_WORKER}.handle"),
        ("app", ATTRIBUTE, "the application"),
        ("cfg", ATTRIBUTE, "how many threads"),
    ),
    *_gunicorn(
        "gunicorn.workers.gthread:PollableMethodQueue", WORKER,
        ("defer", "(self, callback, *args)", "has the main loop call it"),
    ),
    *_gunicorn(
        _CONNECTION, WORKER,
        ("initialized", ATTRIBUTE, "whether there is a parser yet"),
        ("init", "(self)", "makes the parser"),
        ("parser", ATTRIBUTE, "gets our unreader"),
        ("sock", ATTRIBUTE, "read without a thread"),
        ("timeout", ATTRIBUTE, "when the main loop closes it"),
        ("close", "(self, graceful)", "closes it"),
    ),
    *_gunicorn(
        _CONNECTION, CLOSING,
        ("sock", ATTRIBUTE, "shut down before it is closed"),
        ("timeout", ATTRIBUTE, "when it is closed at the latest"),
        ("close", "(self, graceful)", "closes it"),
    ),
    *_gunicorn(
        "gunicorn.http.parser:Parser", WORKER,
        ("unreader", ATTRIBUTE, "ours in its place"),
        ("finish_body", "(self, deadline, max_bytes)", "drops what is left of a body"),
    ),
    *_gunicorn(
        "gunicorn.http.unreader:Unreader", WORKER,
        ("take_buffered", "(self)", "what came with the request before"),
        ("unread", "(self, data)", "puts the head where the parser looks"),
    ),
    *_gunicorn(
        "gunicorn.http.message:Message", WORKER,
        ("unreader", ATTRIBUTE, "gives a body its time"),
        ("headers", ATTRIBUTE, "whether there is a long body"),
        ("force_close", "(self)", "the last request of a connection"),
    ),
    *_gunicorn(
        "gunicorn.http.message:Request", WORKER,
        ("path", ATTRIBUTE, "whether it is a stream"),
    ),
    # ------------------------------------------------------------------ what belongs to both
    *_gunicorn(
        "gunicorn.http.unreader:SocketUnreader", UNREADER,
        ("chunk", "(self, size_hint)", "a time limit", "gunicorn.http.unreader:Unreader.read"),
        ("sock", ATTRIBUTE, "a time limit"),
    ),
    *_gunicorn(
        "gunicorn.glogging:Logger", LOGGER,
        ("setup", "(self, cfg)", "our logger in its place", f"{_ARBITER}.setup"),
        ("error_log", ATTRIBUTE, "our logger in its place"),
        ("debug", "(self, msg, *args, **kwargs)", "writes a line"),
        ("info", "(self, msg, *args, **kwargs)", "a line for debugging"),
        ("exception", "(self, msg, *args, **kwargs)", "no traceback for a slow client"),
    ),
    *_gunicorn(
        "gunicorn.http.errors", ERRORS,
        ("ParseException", CLASS, "400, and what all others derive from"),
        ("LimitRequestLine", CLASS, "414"),
        ("LimitRequestHeaders", CLASS, "431"),
        ("UnsupportedTransferCoding", CLASS, "501"),
    ),
    *_gunicorn(
        "gunicorn.util", ERRORS,
        ("write_nonblock", "(sock, data, chunked)", "sends an error reply without waiting"),
    ),
    *_gunicorn(
        "gunicorn.http.body:Body", BODY,
        ("read", "(self, size)", "a request's body"),
    ),
    *_gunicorn(
        _APPLICATION, SERVICE,
        ("cfg", ATTRIBUTE, "gunicorn's settings"),
        ("load_config", "(self)", "our settings", f"{_APPLICATION}.do_load_config"),
        ("load", "(self)", "the application", f"{_APPLICATION}.wsgi"),
        ("reload", "(self)", "reads the settings anew"),
        ("run", "(self)", "our master"),
    ),
    Member("gunicorn", _ARBITER, "LISTENERS", VALUE, SERVICE, "no run may call them"),
    # -------------------------------------------------------------------------------- wasmtime
    Member("wasmtime", "wasmtime", "_ffi", MODULE, C_API, "the C API"),
    Member("wasmtime", "wasmtime._extern", "wrap_extern", "(ptr)", C_API, "an export as an object"),
    Member("wasmtime", "wasmtime:Store", "_context", "(self)", C_API, "for the C API"),
    Member("wasmtime", "wasmtime:Instance", "_instance", ATTRIBUTE, C_API, "for the C API"),
    Member("wasmtime", "wasmtime:WasmtimeError", "_from_ptr", "(ptr)", C_API, "for the C API"),
    Member("wasmtime", _C, "wasmtime_config_async_stack_size_set", "(arg0, arg1)", ENGINE,
           "allows a larger stack"),
    Member("wasmtime", _C, "wasmtime_extern_t", CLASS, EXPORTS, "an export, by its name"),
    Member("wasmtime", _C, "wasmtime_instance_export_get",
           "(store, instance, name, name_len, item)", EXPORTS, "an export, by its name"),
    Member("wasmtime", _C, "wasmtime_extern_t", CLASS, MEMORY, "the memory, at the first call"),
    Member("wasmtime", _C, "wasmtime_caller_export_get", "(caller, name, name_len, item)", MEMORY,
           "the memory, at the first call"),
    Member("wasmtime", _C, "WASMTIME_EXTERN_MEMORY", VALUE, MEMORY, "whether it is a memory"),
    Member("wasmtime", _C, "wasmtime_caller_context", "(caller)", MEMORY, "for the next two"),
    Member("wasmtime", _C, "wasmtime_memory_data", "(store, memory)", MEMORY, "where it lies"),
    Member("wasmtime", _C, "wasmtime_memory_data_size", "(store, memory)", MEMORY, "its size"),
    Member("wasmtime", _C, "wasmtime_caller_t", CLASS, IMPORTS, "what a callback is given"),
    Member("wasmtime", _C, "wasmtime_linker_define_func_unchecked",
           "(linker, module, module_len, name, name_len, ty, cb, data, finalizer)", IMPORTS,
           "an import with raw values"),
    Member("wasmtime", _C, "wasmtime_func_unchecked_callback_t", CLASS, IMPORTS,
           "an import with raw values"),
    Member("wasmtime", _C, "wasmtime_trap_new", "(msg, msg_len)", IMPORTS, "stops the guest"),
    # ------------------------------------------------------------------------------- the others
    Member("multiprocess", "multiprocess.process", "_children", VALUE, PROCESS,
           "a worker is ours alone to reap"),
    Member("httpx", "httpx", "_main", MODULE, HTTPX, "kept from being imported"),
    Member("httpx", "httpx:HTTPTransport", "_pool", ATTRIBUTE, CLIENT, "gets a lock in C"),
    Member("httpcore", "httpcore:ConnectionPool", "_optional_thread_lock", ATTRIBUTE, CLIENT,
           "a lock in C in its place"),
    Member("httpx", "httpx._client:BoundAsyncStream", "_stream", ATTRIBUTE, UNREAD,
           "leads to httpcore's stream"),
    Member("httpx", "httpx._transports.default:AsyncResponseStream", "_httpcore_stream", ATTRIBUTE,
           UNREAD, "leads to httpcore's stream"),
    Member("httpcore", "httpcore._async.connection_pool:PoolByteStream", "_stream", ATTRIBUTE,
           UNREAD, "leads to the parser"),
    Member("httpcore", "httpcore._async.http11:HTTP11ConnectionByteStream", "_connection",
           ATTRIBUTE, UNREAD, "leads to the parser"),
    Member("httpcore", "httpcore._async.http11:AsyncHTTP11Connection", "_h11_state", ATTRIBUTE,
           UNREAD, "the parser, which may hold more than the answer"),
    Member("httpcore", "httpcore._backends.anyio:AnyIOStream", "_stream", ATTRIBUTE, UNREAD,
           "leads to the buffers"),
    Member("anyio", "anyio.streams.tls:TLSStream", "_read_bio", ATTRIBUTE, UNREAD, "a buffer"),
    Member("anyio", "anyio.streams.tls:TLSStream", "_ssl_object", ATTRIBUTE, UNREAD, "a buffer"),
    Member("anyio", "anyio._backends._asyncio:SocketStream", "_protocol", ATTRIBUTE, UNREAD,
           "leads to a buffer"),
    Member("anyio", "anyio._backends._asyncio:StreamProtocol", "read_queue", ATTRIBUTE, UNREAD,
           "a buffer"),
    Member("Python", "logging", "_srcfile", VALUE, LOGGING, "records without their caller"),
]  # fmt: skip
