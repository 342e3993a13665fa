import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findFreePort } from '#scripts/demonstration/free-port.ts';
import { waitForPort } from './peer.ts';

/** Debian's rsyslog on loopback, which takes syslog over TLS and writes one line a message as it stands. */
export interface Rsyslog {
  readonly port: number;
  start(): Promise<void>;
  /** Resolves when it is gone. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** Whole lines so far: facility, severity, time, host, program, message id, structured data and message. */
  lines(): readonly string[];
}

interface RsyslogFiles {
  /** PEM files: authorities, and its own certificate and key. */
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
  /** `SHA1:…` of the one client certificate that it takes; undefined: no certificate is asked for. */
  readonly clientFingerprint?: string;
}

/** `driver`: over GnuTLS it answers the end of TLS with the end of TCP alone, over OpenSSL with both. */
export function buildRsyslog(folder: string, files: RsyslogFiles, driver: 'gtls' | 'ossl' = 'gtls'): Rsyslog {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const port = findFreePort();
  const written = join(folder, 'collected');
  const configuration = join(folder, 'rsyslog.conf');
  const mode =
    files.clientFingerprint === undefined
      ? 'StreamDriver.AuthMode="anon"'
      : `StreamDriver.AuthMode="x509/fingerprint" PermittedPeer=["${files.clientFingerprint}"]`;
  writeFileSync(
    configuration,
    [
      'global(',
      `  workDirectory="${folder}" defaultNetstreamDriver="${driver}"`,
      `  defaultNetstreamDriverCAFile="${files.ca}" defaultNetstreamDriverCertFile="${files.certificate}"`,
      `  defaultNetstreamDriverKeyFile="${files.key}"`,
      ')',
      // What it has read is in the file, or was not read: it keeps nothing in memory that dies with it.
      'main_queue(queue.type="Direct")',
      `module(load="imtcp" StreamDriver.Name="${driver}" StreamDriver.Mode="1" ${mode})`,
      'template(name="whole" type="string"',
      String.raw`  string="%syslogfacility% %syslogseverity% %timestamp:::date-rfc3339% %hostname% %app-name% %msgid% %structured-data% %msg%\n")`,
      `input(type="imtcp" port="${port}" address="127.0.0.1")`,
      `if $app-name == "sallyport" then action(type="omfile" file="${written}" template="whole")`,
      '',
    ].join('\n'),
  );
  let child: ChildProcess | undefined;
  return {
    port,
    async start() {
      child = spawn('/usr/sbin/rsyslogd', ['-n', '-f', configuration, '-i', join(folder, 'pid')], {
        stdio: 'ignore',
      });
      await waitForPort(port);
    },
    async end(signal) {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill(signal);
      await gone;
    },
    lines: () => (existsSync(written) ? readFileSync(written, 'utf8').split('\n').slice(0, -1) : []),
  };
}
