import { describe, expect, it } from 'vitest';
import { toStatus } from '#dmz/sftp/status.ts';
import { SallyportError } from '#shared/error.ts';

describe('errors as SFTP status', () => {
  it.each([
    ['not-found', 2],
    ['parent-missing', 2],
    ['bad-path', 3],
    ['permission-denied', 3],
    ['no-session', 3],
    ['exists', 4],
    ['quota-exceeded', 4],
    ['link-down', 4],
    ['bad-request', 5],
    ['unsupported', 8],
  ] as const)('%s is %i', (code, expected) => {
    expect(toStatus(new SallyportError(code, 'text')).code).toBe(expected);
  });

  it('S-11: shows the public half only', () => {
    const error = new SallyportError('io-error', 'It could not be written', {
      detail: '/srv/secret/path',
      cause: new Error('ENOSPC /srv/secret/path'),
      reference: 'ABCD2345',
    });
    expect(toStatus(error).message).toBe('It could not be written (reference ABCD2345)');
    expect(toStatus(new Error('/srv/secret')).message).not.toContain('secret');
  });

  it('bounds the message', () => {
    expect(toStatus(new SallyportError('exists', 'x'.repeat(5000))).message.length).toBeLessThanOrEqual(512);
  });
});
