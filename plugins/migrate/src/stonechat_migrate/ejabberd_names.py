"""What of ejabberd has which counterpart here: names of modules and options, and why not."""

from __future__ import annotations

# Modules whose work a plugin does; those with no options of the same meaning.
PLUGINS = {
    "mod_adhoc": "adhoc",
    "mod_announce": "announce",
    "mod_block_strangers": "block_strangers",
    "mod_blocking": "blocking",
    "mod_carboncopy": "carbons",
    "mod_client_state": "csi",
    "mod_configure": "adhoc",
    "mod_cputime": "cputime",
    "mod_disco": "disco",
    "mod_echo": "echo",
    "mod_last": "last",
    "mod_mam": "mam",
    "mod_multicast": "multicast",
    "mod_offline": "offline",
    "mod_ping": "ping",
    "mod_pres_counter": "pres_counter",
    "mod_privacy": "privacy",
    "mod_private": "private",
    "mod_push": "push",
    "mod_push_keepalive": "push",
    "mod_register": "register",
    "mod_roster": "roster",
    "mod_s2s_bidi": "s2s_bidi",
    "mod_s2s_dialback": "dialback",
    "mod_service_log": "service_log",
    "mod_shared_roster": "shared_roster",
    "mod_stats": "stats",
    "mod_stream_mgmt": "sm",
    "mod_time": "time",
    "mod_vcard": "vcard",
    "mod_vcard_xupdate": "vcard",
    "mod_version": "version",
}

# What needs no plugin, because the server does it anyhow.
NEEDLESS_MODULES = {
    "mod_admin_extra": "its commands are the server's own: `stonechat --help`",
    "mod_caps": "what clients can do is looked up where it is needed",
    "mod_fail2ban": "failed logins are slowed down by the server itself",
    "mod_host_meta": "nothing here is found by it yet",
    "mod_sic": "it tells clients their address, which is an own matter of theirs",
}

NEEDLESS = {
    "acme": "certificates are whatever the files hold; see the how-to about real certificates",
    "auth_scram_hash": "credentials are kept for all hashes",
    "auth_use_cache": "what logins need is kept in memory",
    "cache_life_time": "caches have bounds of their own",
    "cache_missed": "caches have bounds of their own",
    "cache_size": "caches have bounds of their own",
    "default_db": "there is one database",
    "default_ram_db": "what passes is in memory",
    "log_rotate_count": "the log goes to standard error, for the system to keep",
    "log_rotate_size": "the log goes to standard error, for the system to keep",
    "new_sql_schema": "all hosts share one database",
    "queue_type": "queues are in memory, with bounds",
    "sm_use_cache": "sessions are in memory",
    "trusted_proxies": "nothing here speaks HTTP yet",
    "use_cache": "caches have bounds of their own",
}

# Of modules: (module, option) -> our option, and what makes our value of theirs.
MODULE_OPTIONS: dict[tuple[str, str], tuple[str, str]] = {
    ("mod_mam", "default"): ("default", "word"),
    ("mod_mam", "default_page_size"): ("page", "number"),
    ("mod_offline", "max_messages"): ("max_messages", "number"),
    ("mod_ping", "ping_interval"): ("interval", "duration"),
    ("mod_ping", "ping_ack_timeout"): ("timeout", "duration"),
    ("mod_stream_mgmt", "resume_timeout"): ("resume_for", "duration"),
    ("mod_stream_mgmt", "ack_timeout"): ("ack_timeout", "duration"),
    ("mod_version", "show_os"): ("show_os", "boolean"),
    ("mod_vcard", "matches"): ("matches", "number"),
    ("mod_vcard", "allow_return_all"): ("return_all", "boolean"),
    ("mod_pres_counter", "count"): ("count", "number"),
    ("mod_pres_counter", "interval"): ("interval", "duration"),
}

# Of modules: options that say how data is stored, or what needs no saying here.
NEEDLESS_OPTIONS = {
    "cache_life_time",
    "cache_missed",
    "cache_size",
    "db_type",
    "iqdisc",
    "ram_db_type",
    "store_current_id",
    "use_cache",
    "versioning",
}

LEVELS = {
    "none": "error",
    "emergency": "error",
    "alert": "error",
    "critical": "error",
    "error": "error",
    "warning": "warning",
    "notice": "info",
    "info": "info",
    "debug": "debug",
    0: "error",
    1: "error",
    2: "error",
    3: "warning",
    4: "info",
    5: "debug",
}

CONFLICTS = {
    "closenew": "refuse",
    "closeold": "replace",
    "acceptnew": "replace",
    "setresource": "generate",
}
