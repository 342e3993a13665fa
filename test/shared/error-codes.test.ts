import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { exitCodes } from '#shared/command-line/exit-code.ts';
import { describeCode, errorCodes, isErrorCode, type ErrorCode } from '#shared/error-codes.ts';
import { statusCode } from '#dmz/sftp/protocol/constants.ts';

const page = new URL('../../ERRORS.md', import.meta.url);

/** Constants are written in camel case, the draft's names are not. */
function toStatusName(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

function describeRow(code: ErrorCode): string {
  const { means, http, adminHttp = http, sftp, exit } = describeCode(code);
  return `| \`${code}\` | ${means} | ${http} | ${adminHttp} | ${toStatusName(sftp)} | ${exitCodes[exit]} |`;
}

function writePage(): string {
  const codes = Object.keys(errorCodes).filter(isErrorCode);
  return `# Error codes

Whatever goes wrong has one of these codes: as \`code\` in the problem details (RFC 9457) of the public HTTP API and of the admin API, as \`error\` in \`sallyport … --json\`, and behind the status of an SFTP answer. Programs act on the code, people read the sentence beside it. \`reason\` in a problem is the code or something finer, such as \`wrong-code\`.

Made from [\`shared/error-codes.ts\`](shared/error-codes.ts); \`UPDATE_ERRORS=1 npx vitest run --project unit test/shared/error-codes.test.ts\` writes it again.

| code | means | HTTP | admin API | SFTP | exit code |
| --- | --- | --- | --- | --- | --- |
${codes.map(describeRow).join('\n')}
`;
}

describe('the table of error codes', () => {
  it('is what ERRORS.md says', () => {
    if (process.env['UPDATE_ERRORS'] === '1') writeFileSync(page, writePage());
    expect(readFileSync(page, 'utf8'), 'write it again with UPDATE_ERRORS=1').toBe(writePage());
  });

  it('has a refusal for every code, and a status that SFTP has', () => {
    for (const [code, row] of Object.entries(errorCodes)) {
      expect(row.http, code).toBeGreaterThanOrEqual(400);
      expect(statusCode[row.sftp], code).toBeGreaterThan(statusCode.eof);
      expect(exitCodes[row.exit], code).toBeGreaterThan(0);
      expect(row.means, code).toMatch(/[.”]$/);
    }
  });

  it('knows no code by a name that every object has', () => {
    expect(['refused', 'toString', '__proto__', 'constructor', ''].filter(isErrorCode)).toEqual(['refused']);
  });
});
