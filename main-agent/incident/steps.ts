import { takenBackFrom } from '#main-agent/files/taking-back.ts';
import { isUsername } from '#main-agent/users/username.ts';
import { shellCommand } from '#shared/command-line/shell-words.ts';
import type { IncidentReport } from './report.ts';

/**
 * What people do on the day a DMZ box was broken into, in this order. The first steps keep more from happening, the next
 * make worth nothing what was seen, the last tell others.
 *
 * Trust: names of refused logins are whatever a stranger typed, and commands are pasted by an admin. What was typed there
 * is named only where it is a user's name; the others here are of sessions and accounts, and may be of users who are gone.
 */
export function stepsOf(
  report: Omit<IncidentReport, 'steps'>,
  isUser: (name: string) => boolean,
): IncidentReport['steps'] {
  const { node, since, mode, people, files, changes, counts } = report;
  const seen = people
    .filter(({ user, password_seen: isSeen }) => isSeen && isUser(user))
    .map(({ user }) => user);
  const withRecovery = people.filter(({ factors }) => factors.some((one) => one.endsWith(' recovery')));
  const reset = changes.filter(({ kind }) => kind === 'enrolled' || kind === 'recovery-codes');
  const left = files.filter(({ undo }) => undo.state === 'left');
  const leftCount = counts['left'] ?? 0;
  const owners = namesOf(files.filter(({ outcome }) => outcome !== 'refused'));
  const run = ['sallyport', 'nodes', 'incident', node, '--since', since] as const;
  return [
    {
      title: 'Take the box off the network, and keep it as it is',
      why: 'its memory and disk are the evidence; a restart loses half of it',
    },
    ...(mode === 'rehearsed'
      ? [
          {
            title: 'Revoke the node',
            why: 'this was a rehearsal: nothing was changed',
            commands: [shellCommand(...run)],
          },
        ]
      : []),
    ...(mode === 'undone'
      ? []
      : [
          {
            title: 'Undo what came through it',
            why: 'what can be undone is; what is left is told with its reason',
            commands: [shellCommand(...run, '--rehearse'), shellCommand(...run, '--undo')],
          },
        ]),
    ...(leftCount === 0
      ? []
      : [
          {
            title: `Look at the ${leftCount} files that were left`,
            why: 'each says why',
            users: namesOf(left),
          },
        ]),
    {
      title: 'Give the users who typed a password there new ones',
      why: 'a password is seen by whoever owns the box, right or wrong, and so is the code beside it, which is spent',
      users: seen,
      commands: seen.map((user) => shellCommand('sallyport', 'users', 'passwd', user)),
    },
    {
      title: 'Reset second factors that were set up there, and recovery codes that were used or shown there',
      why: 'a secret that is being set up passes through the node once; of others none ever does',
      users: namesOf([...reset, ...withRecovery]),
    },
    {
      title: 'Replace the SSH host keys that lay on the box',
      why:
        'whoever has them can be this server for every client that trusts them; tell partners the new fingerprints. ' +
        'With host_key: main none did, and clients know the new box as before',
    },
    {
      title: 'Revoke the door’s TLS certificate and get a new one with a new key',
      why: 'its key was in the node’s memory',
      commands: ['sallyport certificate renew'],
    },
    {
      title: 'Set up a new box and pair it under new keys',
      why: 'the old keys stay revoked; nothing of the old box is copied to the new one',
      commands: ['sallyport node init', 'sallyport main enrol'],
    },
    {
      title: 'Tell the partners whose files were read or written',
      why: 'with the list of files above; what was read can’t be undone',
      users: owners,
    },
    ...(files.some(({ undo }) => ['undone', 'before'].includes(undo.state))
      ? [
          {
            title: 'Save what was written through it and put aside',
            why: 'it is evidence, and kept for 90 days',
            commands: [shellCommand('sallyport', 'bin', 'list', takenBackFrom(node))],
          },
        ]
      : []),
    {
      title: 'Keep the records',
      why: 'with the hash chain they prove what is listed here',
      commands: [
        shellCommand('sallyport', 'audit', 'export', '--since', since, '--node', node),
        'sallyport audit verify',
      ],
    },
  ];
}

function namesOf(all: readonly { readonly user: string }[]): string[] {
  return [...new Set(all.map(({ user }) => user).filter(isUsername))];
}
