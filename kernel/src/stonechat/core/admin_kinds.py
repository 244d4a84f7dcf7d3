"""All the kernel's own commands: which classes hold them."""

from __future__ import annotations

from stonechat.core.admin import NodeCommands, SessionCommands, StoreCommands
from stonechat.core.admin_accounts import AccountCommands
from stonechat.core.admin_doctor import DoctorCommands
from stonechat.core.admin_federation import FederationCommands
from stonechat.core.admin_plugins import PluginCommands

# Each is made with the server.
COMMAND_CLASSES = (
    NodeCommands,
    SessionCommands,
    AccountCommands,
    PluginCommands,
    FederationCommands,
    DoctorCommands,
    StoreCommands,
)
