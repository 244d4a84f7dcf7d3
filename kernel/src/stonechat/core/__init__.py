"""The server: streams at work, routers, sessions, plugins, configuration. Private."""
