"""Options of plugins and auth backends: one line each, from which all else is made.

    history_length: int = option(20, "Messages shown to a newcomer.", ge=0, le=500)

The check of the configuration, the reference tables and the JSON Schema for
editors come from that line.
"""

from stonechat.options.addresses import BareJID, Domain, DomainTemplate, Network
from stonechat.options.files import LocalPath, ReadableFile, Secret, SecretFile
from stonechat.options.model import REQUIRED, ListenerOptions, PluginOptions, option
from stonechat.options.reference import OptionDoc, describe_options, json_schema
from stonechat.options.units import ByteSize, Duration, DurationOrOff, Rate
from stonechat.options.written import Written

__all__ = [
    "REQUIRED",
    "BareJID",
    "ByteSize",
    "Domain",
    "DomainTemplate",
    "Duration",
    "DurationOrOff",
    "ListenerOptions",
    "LocalPath",
    "Network",
    "OptionDoc",
    "PluginOptions",
    "Rate",
    "ReadableFile",
    "Secret",
    "SecretFile",
    "Written",
    "describe_options",
    "json_schema",
    "option",
]
