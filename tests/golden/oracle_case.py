"""Play a case that was recorded from the real Postfix 3.7.11 (tests/golden/oracle/*/case.json).

A case has files, steps and what is expected of each: commands' output and exit status, SMTP dialogues, log lines,
files, what a scripted peer was sent. What differs from run to run (ids, dates, ports, process ids) is normalised on
both sides; the prose of notices is left out. Tiers queue and live need root.
"""
import base64, glob, grp, os, pwd, re, shutil, signal, socket, ssl, struct
import subprocess, tempfile, threading, time

from tests.free_port import free_port

COMMANDS = set('''postconf postmap postalias newaliases postfix postqueue mailq postsuper postcat sendmail postdrop postlog qshape
smtp-source smtp-sink posttls-finger postmulti postlock postkick'''.split())

# ------------------------------------------------------------ normalising

RX_QID = re.compile(r'(?<![0-9A-Za-z])(?=[0-9A-F]*[0-9])[0-9A-F]{9,14}(?![0-9A-Za-z])')
RULES = [
    (re.compile(r'\b\d{14}\.@QID@@'), '@MSGID@@'),
    (re.compile(r'\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [ \d]?\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} '
                r'\d\d:\d\d:\d\d [+-]\d{4}( \([A-Z+\-0-9a-z]+\))?'), '@DATE@'),
    (re.compile(r'\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d( \d{4})?'), '@CTIME@'),
    (re.compile(r'^(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d \S+ ', re.M), '@SYSLOG@ '),
    (re.compile(r'(?<=[a-z])\[\d+\]:'), '[PID]:'),
    (re.compile(r'\bdelay=[\d.]+, delays=[\d./]+'), 'delay=@N@, delays=@N@'),
    (re.compile(r'\bsize=\d+'), 'size=@N@'),
    (re.compile(r'(?m)^(C: MAIL FROM:.*) SIZE=\d+'), r'\1 SIZE=@N@'),
    (re.compile(r'(?m)^(@QID@[*!#]?) +\d+ @CTIME@'), r'\1 @N@ @CTIME@'),
    (re.compile(r'PID: \d+'), 'PID: @N@'),
    (re.compile(r'\b(deferred|defer|incoming|active|hold|bounce|flush|trace)/[0-9A-F]/'), r'\1/@H@/'),
    (re.compile(r'(?m)\n\t key-exchange [^\n]*\)$'), ')'),
    (re.compile(r'(?m)^(C: XFORWARD .*)PORT=\d+'), r'\1PORT=@N@'),
    (re.compile(r'\[127\.0\.0\.1\]:\d{4,5}\b'), '[127.0.0.1]:@CPORT@'),
    (re.compile(r'<[0-9a-f]{4,6}\.[0-9a-f]{4}\.[0-9a-f]+@src'), '<@N@@src'),
    (re.compile(r'\bid [0-9a-f]{5,8};'), 'id @N@;'),
    (re.compile(r'uid=[1-9]\d* from'), 'uid=@N@ from'),
    (re.compile(r' key-exchange \S+( server-signature .*)?( \(\d+ bits\))?( server-digest \S+)?$', re.M), ' @KEX@'),
    (re.compile(r'(TLSv1\.[23]) with cipher \S+ \(\d+/\d+ bits\)'), r'\1 with cipher @CIPHER@'),
    (re.compile(r'@QID@\.\d{9,11}/'), '@QID@.@TIME@/'),
    (re.compile(r'\btook [\d.]+ seconds|\bafter \d+ seconds'), '@SECS@'),
    (re.compile(r'version 3\.\d+\.\d+'), 'version @VERSION@'),
]


PROSE = re.compile(r'(Content-Description: Notification\n(?:Content-[^\n]*\n)*\n).*?(?=\n<|\n--)', re.S)


def mask(x):
    """The human text of a notice belongs to whoever writes it; only its machine-readable parts are compared."""
    if isinstance(x, str):
        return PROSE.sub(r'\1@PROSE@', x)
    if isinstance(x, list):
        return [mask(i) for i in x]
    if isinstance(x, dict):
        return {k: mask(v) for k, v in x.items()}
    return x


class Ctx:
    def __init__(self, tmp, bindir):
        self.t, self.bin, self.ports, self.vars = tmp, bindir, {}, {}

    def subst(self, s):
        s = s.replace('@T@', self.t).replace('@BIN@', self.bin)
        s = re.sub(r'@PORT(\d)@', lambda m: str(self.port(m.group(1))), s)
        return re.sub(r'@VAR_(\w+)@', lambda m: self.vars.get(m.group(1), 'UNSET'), s)

    def port(self, n):
        if n not in self.ports:
            self.ports[n] = free_port()
        return self.ports[n]

    def norm(self, s, loose=True):
        s = s.replace(self.t, '@T@')
        for n, p in self.ports.items():
            s = re.sub(r'(?<!\d)%d(?!\d)' % p, '@PORT%s@' % n, s)
        s = re.sub(r'(YP_LAST_MODIFIED:?\t)\d+', r'\1@TIME@', s)
        s = re.sub(r'(query error): [A-Z][a-z ]+', r'\1', s)          # errno left over from elsewhere
        s = re.sub(r'\. Is the postfix-\S+ package installed\?', '', s)  # Debian patch
        if loose:
            s = re.sub(r'"(arrival_time|message_size)": \d+', r'"\1": @N@', s)
            s = RX_QID.sub('@QID@', s)
            for rx, to in RULES:
                s = rx.sub(to, s)
        return s


# ------------------------------------------------------------ set-up

def age(tmp):
    """Postfix re-reads (and re-warns about) a file changed within the last
    second, so push fresh mtimes into the past, keeping their order."""
    now = time.time()
    for d, _, fs in os.walk(tmp):
        if '/spool' in d or '/data' in d:
            continue
        for f in fs:
            p = os.path.join(d, f)
            try:
                st = os.lstat(p)
                if st.st_mtime > now - 500 and not os.path.islink(p) and not f.endswith('.sock'):
                    os.utime(p, ns=(st.st_atime_ns, st.st_mtime_ns - 1000 * 10 ** 9))
            except OSError:
                pass


def make_files(ctx, case):
    for name, body in case.get('files', {}).items():
        p = os.path.join(ctx.t, name)
        os.makedirs(os.path.dirname(p), exist_ok=True)
        raw = base64.b64decode(body['b64']) if isinstance(body, dict) else ctx.subst(body).encode()
        with open(p, 'wb') as f:
            f.write(raw)
    for name, who in case.get('owners', {}).items():
        os.chown(os.path.join(ctx.t, name), pwd.getpwnam(who).pw_uid, pwd.getpwnam(who).pw_gid)
    for name, mode in case.get('modes', {}).items():
        os.chmod(os.path.join(ctx.t, name), int(mode, 8))
    if case.get('tier', 'static') != 'static':
        uid, gid = pwd.getpwnam('postfix').pw_uid, pwd.getpwnam('postfix').pw_gid
        dgid = grp.getgrnam('postdrop').gr_gid
        for d, m, u, g in (('spool', 0o755, 0, 0), ('spool/pid', 0o755, 0, 0), ('data', 0o700, uid, gid),
                           ('spool/active', 0o700, uid, 0), ('spool/bounce', 0o700, uid, 0),
                           ('spool/corrupt', 0o700, uid, 0), ('spool/defer', 0o700, uid, 0),
                           ('spool/deferred', 0o700, uid, 0), ('spool/flush', 0o700, uid, 0),
                           ('spool/hold', 0o700, uid, 0), ('spool/incoming', 0o700, uid, 0),
                           ('spool/private', 0o700, uid, 0), ('spool/saved', 0o700, uid, 0),
                           ('spool/trace', 0o700, uid, 0), ('spool/maildrop', 0o730, uid, dgid),
                           ('spool/public', 0o710, uid, dgid)):
            p = os.path.join(ctx.t, d)
            os.makedirs(p, exist_ok=True)
            os.chown(p, u, g)
            os.chmod(p, m)
        os.makedirs(os.path.join(ctx.t, 'out'), exist_ok=True)
        os.chmod(os.path.join(ctx.t, 'out'), 0o777)


# ------------------------------------------------------------ scripted peers

def serve(ctx, spec):
    """A line-oriented scripted server: spec = {port|path, kind, ...}."""
    if 'path' in spec:
        s = socket.socket(socket.AF_UNIX)
        p = ctx.subst(spec['path'])
        s.bind(p)
        os.chmod(p, 0o666)
    else:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(('127.0.0.1', ctx.port(str(spec['port']))))
    s.listen(20)
    log = spec.setdefault('_log', [])

    def conn(c):
        f = c.makefile('rwb')
        try:
            if spec['kind'] == 'policy':            # one request = lines up to an empty line
                req = []
                for raw in f:
                    line = raw.decode().rstrip('\n')
                    if line:
                        req.append(line)
                        continue
                    log.append('\n'.join(req))
                    d = dict(x.split('=', 1) for x in req)
                    act = 'DUNNO'
                    for k, v in spec.get('actions', {}).items():
                        n, val = k.split('=', 1)
                        if d.get(n) == val:
                            act = v
                    f.write(('action=%s\n\n' % act).encode())
                    f.flush()
                    req = []
            elif spec['kind'] == 'table':           # tcp_table(5): "get KEY"
                for raw in f:
                    line = raw.decode().rstrip('\n')
                    log.append(line)
                    f.write((spec['replies'].get(line, '500 not%20found') + '\n').encode())
                    f.flush()
            elif spec['kind'] == 'socketmap':       # netstring "name key"
                while True:
                    n = b''
                    while not n.endswith(b':'):
                        b = f.read(1)
                        if not b:
                            return
                        n += b
                    body = f.read(int(n[:-1])).decode()
                    f.read(1)
                    log.append(body)
                    r = spec['replies'].get(body, 'NOTFOUND ').encode()
                    f.write(b'%d:%s,' % (len(r), r))
                    f.flush()
            elif spec['kind'] == 'dovecot':         # Dovecot auth protocol v1
                f.write(b'VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\tab\nDONE\n')
                f.flush()
                for raw in f:
                    line = raw.decode().rstrip('\n')
                    a = line.split('\t')
                    if a[0] != 'AUTH':
                        continue
                    log.append(re.sub(r'\b(rport|lport)=\d+', r'\1=N', '\t'.join(x for x in a if not x.startswith('resp=')))
                               .replace('\t' + a[1] + '\t', '\tID\t', 1))
                    resp = [x[5:] for x in a if x.startswith('resp=')]
                    cred = base64.b64decode(resp[0]).split(b'\0') if resp else []
                    if len(cred) == 3 and cred[2] == b'good':
                        f.write(('OK\t%s\tuser=%s\n' % (a[1], cred[1].decode())).encode())
                    else:
                        f.write(('FAIL\t%s\tuser=x\treason=bad\n' % a[1]).encode())
                    f.flush()
            elif spec['kind'] == 'milter':          # Sendmail milter protocol 6, no skips
                def send(cmd, data=b''):
                    f.write(struct.pack('!I', len(data) + 1) + cmd + data)
                    f.flush()
                sess = []
                log.append(sess)
                while True:
                    h = f.read(4)
                    if len(h) < 4:
                        return
                    pkt = f.read(struct.unpack('!I', h)[0])
                    cmd, data = pkt[:1], pkt[1:]
                    if cmd == b'O':
                        v, a, p = struct.unpack('!III', data[:12])
                        sess.append('O version=%d' % v)
                        send(b'O', struct.pack('!III', 6, 0x1ff, 0))
                        continue
                    if cmd == b'D':
                        kv = data[1:].split(b'\0')
                        sess.append('D ' + data[:1].decode() + ' ' + ' '.join(
                            '%s=%s' % (kv[i].decode(), 'VERSION' if kv[i] == b'v' else kv[i + 1].decode()) for i in range(0, len(kv) - 1, 2)))
                        continue
                    if cmd == b'C':
                        host, rest = data.split(b'\0', 1)
                        sess.append('C %s %s %s' % (host.decode(), rest[:1].decode(), rest[3:].rstrip(b'\0').decode()))
                    elif cmd == b'Q':
                        sess.append('Q')
                        return
                    else:
                        sess.append(cmd.decode() + ' ' + data.rstrip(b'\0').replace(b'\0', b'|').replace(b'\r\n', b'\\n').decode('utf8', 'replace'))
                    if cmd in (b'A', b'K'):
                        continue
                    for c2, arg in spec.get('replies', {}).get(cmd.decode(), []):
                        if not arg.startswith('IF ') or arg.split(' ', 2)[1].encode() in data:
                            body = arg.split(' ', 2)[2] if arg.startswith('IF ') else arg
                            if c2 in ('i', 'm'):
                                n, body = body.split(' ', 1)
                                send(c2.encode(), struct.pack('!I', int(n)) + body.replace('|', '\0').encode() + b'\0')
                            else:
                                send(c2.encode(), body.replace('|', '\0').encode() + b'\0')
                            if c2 in 'yrtda':
                                break
                    else:
                        send(b'c')
            elif spec['kind'] in ('smtp', 'lmtp'):
                sess = []
                log.append(sess)
                reply = spec.get('replies', {})
                f.write((reply.get('CONNECT', '220 sink.example.net ESMTP') + '\r\n').encode())
                f.flush()
                nr = 0
                rcpts = []
                for raw in f:
                    line = raw.decode('utf8', 'replace').rstrip('\r\n')
                    sess.append('C: ' + line)
                    verb = line.split(' ')[0].upper()
                    r = None
                    for k in sorted(reply, key=len, reverse=True):
                        if line.upper().startswith(k.upper()):
                            r = reply[k]
                            break
                    if r is None:
                        r = {'EHLO': '250-sink.example.net\r\n' + ''.join('250-%s\r\n' % x for x in spec.get('ehlo', ['PIPELINING', 'SIZE', '8BITMIME', 'DSN', 'ENHANCEDSTATUSCODES'])) + '250 HELP',
                             'LHLO': '250-sink.example.net\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES',
                             'HELO': '250 sink', 'DATA': '354 go ahead', 'QUIT': '221 2.0.0 bye'}.get(verb, '250 2.0.0 ok')
                    if verb == 'RCPT' and r.startswith('2'):
                        rcpts.append(line)
                    f.write((r + '\r\n').encode())
                    f.flush()
                    if verb == 'DATA' and r.startswith('3'):
                        for raw in f:
                            line = raw.decode('utf8', 'replace').rstrip('\r\n')
                            sess.append('D: ' + line)
                            if line == '.':
                                break
                        outs = spec.get('final')
                        if spec['kind'] == 'lmtp':
                            for i, _ in enumerate(rcpts):
                                f.write(((outs[i] if outs and i < len(outs) else '250 2.0.0 ok') + '\r\n').encode())
                        else:
                            f.write(((outs[0] if outs else '250 2.0.0 queued as SINK') + '\r\n').encode())
                        f.flush()
                        rcpts = []
                    if verb == 'QUIT':
                        return
        except (OSError, ValueError):
            pass
        finally:
            c.close()

    def loop():
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            threading.Thread(target=conn, args=(c,), daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()
    return s


def smtp_dialogue(ctx, port, script, timeout=20):
    """Each item: a line to send, after which one (multi-line) reply is read; or
    {"raw": bytes-as-text, "replies": N}; the greeting is always read first."""
    out = []
    for _ in range(80):
        try:
            c = socket.create_connection(('127.0.0.1', port), timeout=timeout)
            break
        except OSError:
            time.sleep(0.1)
    else:
        return 'NO CONNECTION\n'
    io = [c, c.makefile('rb')]

    def reply():
        while True:
            try:
                raw = io[1].readline()
            except socket.timeout:
                out.append('S: <timeout>')
                return
            except OSError:
                raw = b''
            if not raw:
                out.append('S: <closed>')
                return
            out.append('S: ' + raw.decode('utf8', 'replace').rstrip('\r\n'))
            if raw[3:4] != b'-':
                return
    reply()
    for item in script:
        if item == 'TLS':                           # after 220 to STARTTLS
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
            try:
                io[0] = tls.wrap_socket(io[0])
            except OSError as x:
                out.append('C: <TLS failed>')
                break
            io[1] = io[0].makefile('rb')
            out.append('C: <TLS ok>')
            continue
        raw, n = (item['raw'], item.get('replies', 1)) if isinstance(item, dict) else (item + '\r\n', 1)
        raw = ctx.subst(raw)
        out += ['C: ' + x for x in raw.rstrip('\r\n').split('\r\n')][:12]
        try:
            io[0].sendall(raw.encode('utf8', 'surrogateescape'))
        except OSError:
            out.append('S: <closed>')
            break
        for _ in range(n):
            reply()
        if out[-1] == 'S: <closed>':
            break
    io[0].close()
    return '\n'.join(out) + '\n'


# ------------------------------------------------------------ running a case

def absent(cmd, bindir):
    """A drop-in must not pass by running the real Postfix further down PATH."""
    return cmd in COMMANDS and bindir not in ('/usr/sbin', '/usr/bin') and not os.access(os.path.join(bindir, cmd), os.X_OK)


def until(look, expected, within=10):
    """What look() gives when it is what is expected, or at the end of our patience."""
    end = time.time() + within
    while (seen := look()) and mask(seen) != mask(expected) and time.time() < end:
        time.sleep(0.05)
    return seen


def run_case(case, bindir):
    tmp = tempfile.mkdtemp(prefix='pfo.')
    os.chmod(tmp, 0o755)
    ctx = Ctx(tmp, bindir)
    env = {'PATH': bindir + ':/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL': 'C', 'LANG': 'C', 'TZ': 'UTC',
           'HOME': '/', 'LOGNAME': 'root', 'USER': 'root'}
    results, servers, peers = [], [], {}
    live = case.get('tier') == 'live'
    try:
        make_files(ctx, case)
        if live:
            for sv in case.get('servers', []):
                sv = dict(sv)
                peers[sv['name']] = sv
                servers.append(serve(ctx, sv))
        elif case.get('servers'):
            for sv in case['servers']:
                sv = dict(sv)
                peers[sv['name']] = sv
                servers.append(serve(ctx, sv))
        if live:
            age(tmp)
            if absent('postfix', bindir) or absent('postmap', bindir) or absent('postalias', bindir):
                return [{'start': 'postfix, postmap or postalias not in BIN_DIR'}]
            for m in case.get('maps', []):
                subprocess.run(['postalias' if 'alias' in m and 'virtual' not in m else 'postmap', '-c', tmp, ctx.subst(m)], env=env, check=False)
            age(tmp)
            p = subprocess.run(['postfix', '-c', tmp, 'start'], env=env, capture_output=True, text=True, timeout=60)
            if p.returncode:
                return [{'start': p.stdout + p.stderr}]
        for st in case['steps']:
            loose = st.get('loose', case.get('tier', 'static') != 'static')
            if 'run' in st:
                age(tmp)
                e = dict(env, **{k: ctx.subst(v) for k, v in st.get('env', {}).items()})
                stdin = ctx.subst(st.get('stdin', '')).encode('utf8', 'surrogateescape')
                argv = [ctx.subst(a) for a in st['run']]
                try:
                    if absent(argv[0], bindir):
                        raise OSError(argv[0] + ': not in BIN_DIR')
                    p = subprocess.run(argv, env=e, input=stdin, capture_output=True, timeout=st.get('timeout', 60), cwd=tmp)
                    so, se, rc = p.stdout.decode('utf8', 'backslashreplace'), p.stderr.decode('utf8', 'backslashreplace'), p.returncode
                except subprocess.TimeoutExpired:
                    so, se, rc = '', 'TIMEOUT', -1
                except OSError as x:
                    so, se, rc = '', str(x), 127
                for name, rx in st.get('capture', {}).items():
                    m = re.search(rx, so)
                    ctx.vars[name] = m.group(1) if m else 'NOMATCH'
                so, se = ctx.norm(so, loose), ctx.norm(se, loose)
                if st.get('filter'):
                    so = ''.join(l for l in so.splitlines(True) if re.search(st['filter'], l))
                if st.get('sort_stdout'):
                    so = ''.join(sorted(so.splitlines(True)))
                r = {'stdout': so, 'stderr': ''.join(sorted(se.splitlines(True))), 'exit': rc}
                if st.get('ignore_stderr') or argv[0] in ('postfix', 'postlog'):   # 3.7 is silent without a terminal, 3.8+ is not
                    r.pop('stderr')
                if st.get('ignore_stdout'):
                    r.pop('stdout')
                for f in st.get('after', []):
                    fp = os.path.join(tmp, f)
                    r['file:' + f] = ctx.norm(open(fp, errors='backslashreplace').read(), loose) if os.path.exists(fp) else None
                if not st.get('quiet'):
                    results.append(r)
            elif 'touch' in st:                     # make a file newer than everything
                p = os.path.join(tmp, st['touch'])
                os.utime(p, (time.time() - 600, time.time() - 600))
            elif 'smtp' in st:
                said = ctx.norm(smtp_dialogue(ctx, ctx.port(str(st.get('port', 1))), st['smtp'], st.get('timeout', 20)))
                if not st.get('quiet'):
                    results.append({'dialogue': said})
            elif 'wait' in st:                      # wait until a regex is in the log
                rx, end = re.compile(ctx.subst(st['wait'])), time.time() + st.get('timeout', 30)
                while time.time() < end:
                    try:
                        if len(rx.findall(open(os.path.join(tmp, 'log/mail.log')).read())) >= st.get('count', 1):
                            break
                    except OSError:
                        pass
                    time.sleep(0.1)
                else:
                    results.append({'wait': 'NEVER LOGGED ' + st['wait']})
            elif 'log' in st:                       # the log lines that match
                def log_lines():
                    try:
                        txt = open(os.path.join(tmp, 'log/mail.log')).read()
                    except OSError:
                        txt = ''
                    ls = [l for l in ctx.norm(txt).splitlines()
                          if re.search(st['log'], l) and 'postfix-script[PID]: warning: ' not in l]
                    return {'log': sorted(ls) if st.get('sort', True) else ls}
                results.append(until(log_lines, case['expect'][len(results)]))
            elif 'read' in st:                      # files by glob, concatenated in name-independent order
                end, body = time.time() + st.get('timeout', 10), []
                while time.time() < end:
                    body = [ctx.norm(open(p, errors='backslashreplace').read()) for p in glob.glob(os.path.join(tmp, st['read']))]
                    if len(body) >= st.get('count', 1) and all(body):
                        break
                    time.sleep(0.1)
                results.append({'file': '\n--8<--\n'.join(sorted(body))})
            elif 'peer' in st:                      # what a scripted peer was sent
                def sent():
                    flat = [x if isinstance(x, str) else '\n'.join(x) for x in peers[st['peer']]['_log']]
                    txt = ctx.norm('\n--\n'.join(flat))
                    if st.get('drop'):
                        txt = '\n'.join(l for l in txt.split('\n') if not re.search(st['drop'], l))
                    return {'peer': txt}
                results.append(until(sent, case['expect'][len(results)]))
        return results
    finally:
        if live:
            subprocess.run(['postfix', '-c', tmp, 'stop'], env=env, capture_output=True, timeout=60)
            try:
                pid = int(open(tmp + '/spool/pid/master.pid').read())
                os.killpg(pid, signal.SIGKILL)
            except (OSError, ValueError):
                pass
        for s in servers:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        if not os.environ.get('KEEP'):
            shutil.rmtree(tmp, ignore_errors=True)
        else:
            print('kept', tmp)
