import { readFileSync } from 'node:fs';
import { SallyportError } from '#shared/error.ts';

/** The box's own users (passwd(5)): main's is one of them, never one of a directory elsewhere. */

export interface SystemUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export function findUserName(uid: number): string | undefined {
  return readUsers().find((user) => user.uid === uid)?.name;
}

/** Throws `not-found`. */
export function requireUser(name: string): SystemUser {
  const user = readUsers().find((one) => one.name === name);
  if (user !== undefined) return user;
  throw new SallyportError('not-found', 'Main’s user does not exist on this box', {
    detail: name,
    hint: './scripts/install main-agent makes it',
  });
}

function readUsers(): readonly SystemUser[] {
  return readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [name, , uid, gid] = line.split(':');
      return name === undefined || uid === undefined ? [] : [{ name, uid: Number(uid), gid: Number(gid) }];
    });
}
