import { describe, expect, it } from 'vitest';
import { textPatches } from '#dmz/sftp/transport/patches.ts';
import { applyPatch, loadSsh2 } from '#dmz/sftp/transport/ssh2-modules.ts';
import { isSallyportError } from '#shared/error.ts';

describe('patches of ssh2', () => {
  it('are numbered, and each says why', () => {
    expect(textPatches.map((patch) => patch.number)).toEqual(textPatches.map((_patch, index) => index + 1));
    for (const patch of textPatches) expect(patch.reason.length).toBeGreaterThan(20);
  });

  it('refuse a source without their anchor, or with it twice', () => {
    const patch = { number: 1, file: 'x.js', anchor: 'abc', replacement: 'abd', reason: '' };
    expect(applyPatch('-abc-', patch)).toBe('-abd-');
    for (const source of ['-abx-', '-abc-abc-'])
      expect(() => applyPatch(source, patch)).toThrow(expect.objectContaining({ code: 'config' }));
  });

  it('apply to the installed package, and leave the stock one alone', async () => {
    const replacements = {
      holdsKexInit: () => false,
      onClientKexInit: () => undefined,
      hasKeys: () => false,
      isSigning: () => false,
    };
    const before: unknown = (await import('ssh2')).default;
    const [first, second] = [await loadSsh2(replacements), await loadSsh2(replacements)];
    expect(first).not.toBe(second);
    expect((await import('ssh2')).default).toBe(before);
  });

  it('a host key that is none is a configuration error', async () => {
    const modules = await loadSsh2({
      holdsKexInit: () => false,
      onClientKexInit: () => undefined,
      hasKeys: () => false,
      isSigning: () => false,
    });
    for (const text of ['', 'junk', 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA x']) {
      let thrown: unknown;
      try {
        modules.parseHostKey(Buffer.from(text));
      } catch (error) {
        thrown = error;
      }
      expect(isSallyportError(thrown, 'config')).toBe(true);
    }
  });
});
