import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const program = fileURLToPath(new URL('../../scripts/renew-credentials', import.meta.url));
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-renew-'));
  mkdirSync(join(folder, 'programs'));
  writeFileSync(join(folder, 'source'), 'new\n');
  writeFileSync(join(folder, 'precious'), 'kept\n');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** As root of a namespace with a /run of its own, where `before` was typed; then what lies there. */
async function renew({ unit = 'LoadCredential=certificate:$PWD/source\n', before = '' }): Promise<string> {
  const systemctl = `#!/bin/sh\ncase $1 in cat) printf '${unit.replace('$PWD', folder)}' ;; *) echo 0 ;; esac\n`;
  writeFileSync(join(folder, 'programs', 'systemctl'), systemctl, { mode: 0o755 });
  const line = `mount -t tmpfs tmpfs /run && mkdir -m 700 /run/dmz-renewed && ${before || ':'}
    "${program}" dmz && echo renewed
    cd /run/dmz-renewed && for file in * .[!.]*; do [ ! -f "$file" ] || echo "$file: $(cat "$file")"; done
    stat -c %a:%u .; cat "${folder}/precious"`;
  const { stdout } = await promisify(execFile)('unshare', ['-rm', 'sh', '-c', line], {
    cwd: folder,
    env: { ...process.env, PATH: `${join(folder, 'programs')}:${process.env['PATH'] ?? ''}` },
  });
  return stdout;
}

describe('what a reload renews', () => {
  it('lies where systemd named it, in a folder that is root’s while root works in it', async () => {
    expect(await renew({})).toBe('renewed\ncertificate: new\n750:0\nkept\n');
  });

  it.each(['', 'LoadCredential=\n'])(
    'is not said to be renewed when systemd names nothing: %j',
    async (unit) => {
      expect(await renew({ unit })).toBe('.failed: \n750:0\nkept\n');
    },
  );

  it.each(['.failed', '.certificate', 'certificate'])('follows no link that lay at %s', async (name) => {
    const said = await renew({ before: `ln -s "$PWD/precious" /run/dmz-renewed/${name}` });
    expect(said).toMatch(
      name === '.failed' ? /^renewed\ncertificate: new\n/ : /^(?!renewed)[^]*\.failed: \n/,
    );
    expect(said).toMatch(/\nkept\n$/);
  });

  it('goes into no folder that is a link', async () => {
    const said = await renew({
      before: 'rmdir /run/dmz-renewed && mkdir /run/x && ln -s x /run/dmz-renewed',
    });
    expect(said).toBe('755:0\nkept\n');
  });
});
