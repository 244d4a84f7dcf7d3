import threading, signal
DOMAIN = "capulet.example"
SHUTDOWN = "<system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
def test_x(stage):
    server = stage.server()
    nurse = stage.login(server, "nurse", "kitchen", receive_buffer=4096)
    romeo = stage.login(server, "romeo")
    for _ in range(200):
        romeo.send(f"<message to='nurse@{DOMAIN}/kitchen'><body>{'x'*8000}</body></message>")
    assert "error" not in romeo.ping()
    over=threading.Event()
    def talk():
        try:
            while not over.is_set():
                nurse.send(f"<message to='nobody@{DOMAIN}/x' type='headline'><body>O</body></message>" * 50)
        except OSError: return
    t=threading.Thread(target=talk); t.start()
    server.process.signal(signal.SIGTERM)
    import time
    heard=""
    try:
        while d:=nurse.socket.recv(4096):
            heard+=d.decode(); time.sleep(0.004)
    except ConnectionError as e: print(repr(e))
    print("alive", server.process.is_running)
    over.set(); t.join()
    print(heard.count("</message>"), heard[-200:])
    assert heard.count("</message>") == 200
    assert SHUTDOWN in heard
    nurse.close()
    assert server.process.wait()==0
