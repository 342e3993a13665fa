import {
  originsAnswer,
  twoFactorAnswer,
  userAnswer,
  userRenamed,
  usersPage,
} from '#main-agent/admin/user-answers.ts';
import { isExpired } from '#main-agent/users/effective-user.ts';
import { SallyportError } from '#shared/error.ts';
import type { Secret } from '#shared/secret.ts';
import { Option, type Command } from 'commander';
import type { z } from 'zod';
import { readAnswer } from './answers.ts';
import { collect, flatten, parseAssignments } from './assignments.ts';
import { segment, type CommandContext } from './command-context.ts';
import { addPasswordLinkCommand, mailPasswordLink } from './password-link.ts';
import { addPlanCommands } from './plan-commands.ts';
import { addUserImportCommand } from './user-import.ts';
import { readPages } from './pages.ts';
import { formatFacts, formatTable } from './table.ts';

/** `sallyport users …`. Passwords come from a prompt or standard input, never from the command line. */

interface ListOptions {
  readonly group?: string;
  readonly status?: string;
  readonly enrolled?: boolean;
  readonly notEnrolled?: boolean;
  readonly search?: string;
}

interface AddOptions {
  readonly displayName?: string;
  readonly email?: string;
  readonly phone?: string;
  readonly group?: readonly string[];
  readonly password: boolean;
  readonly welcome?: boolean;
}

export function addUserCommands(program: Command, context: CommandContext): void {
  const users = program.command('users').description('who may log in, and how');
  addPlanCommands(users, context);
  addUserImportCommand(users, context);
  const { terminal } = context;

  users
    .command('list')
    .description('users by name: all, or those that fit every option')
    .option('--group <name>', 'in this group, by whatever way')
    .addOption(
      new Option('--status <status>', 'by their own file and their groups’').choices(['active', 'disabled']),
    )
    .addOption(new Option('--enrolled', 'with a second factor').conflicts('notEnrolled'))
    .option('--not-enrolled', 'without one')
    .option('--search <text>', 'somewhere in name, display name, e-mail address or phone number')
    .action(async ({ group, status, search, ...options }: ListOptions) => {
      const enrolled = options.enrolled === true ? 'yes' : options.notEnrolled === true ? 'no' : undefined;
      const filter = { group, status, search, enrolled };
      const all = await readPages(context, '/v1/users', filter, { key: 'users', schema: usersPage });
      context.print({ users: all }, () =>
        formatTable(
          ['user', 'name', 'status', 'groups', 'protocols', 'code required on'],
          all.map((user) => [
            user.username,
            user.display_name,
            user.status,
            user.groups,
            user.protocols,
            user.required_on,
          ]),
        ),
      );
    });

  users
    .command('show')
    .description('one user as in force')
    .argument('<user>')
    .option('--origin', 'each value with the file and line it came from')
    .action(async (user: string, options: { readonly origin?: boolean }) => {
      if (options.origin === true) {
        const json = await context.call('GET', `/v1/users/${segment(user)}/effective`);
        context.print(json, () =>
          formatTable(
            ['key', 'value', 'from'],
            readAnswer(originsAnswer, json).values.map(({ key, value, file, line }) => [
              key,
              value,
              `${file}:${line}`,
            ]),
          ),
        );
        return;
      }
      const json = await context.call('GET', `/v1/users/${segment(user)}`);
      context.print(json, () => formatFacts(flatten(readAnswer(userAnswer, json))));
    });

  addOptions(
    users.command('add').description('add a user; asks for the password, or reads it from standard input'),
  )
    .argument('<user>')
    .argument('[assignments...]', 'dotted.key=<yaml>, as in `users set`')
    .action(async (user: string, assignments: readonly string[], options: AddOptions) =>
      addUser(context, { user, assignments }, options),
    );

  addOptions(
    users
      .command('copy')
      .description(
        'add a user whose file begins as another’s, but for name, address, password, keys and role',
      ),
  )
    .argument('<template>')
    .argument('<user>')
    .argument('[assignments...]', 'dotted.key=<yaml>, as in `users set`')
    .action(async (template: string, user: string, assignments: readonly string[], options: AddOptions) =>
      addUser(context, { user, template, assignments }, options),
    );

  users
    .command('set')
    .description('change keys of the user’s own file')
    .argument('<user>')
    .argument('[assignments...]', 'dotted.key=<yaml>, such as two_factor.required_on=[https, sftp]')
    .option('--unset <key>', 'let the inherited value show again; may be given again', collect, [])
    .action(
      async (
        user: string,
        assignments: readonly string[],
        options: { readonly unset: readonly string[] },
      ) => {
        const json = await context.call('PATCH', `/v1/users/${segment(user)}`, {
          body: { set: Object.fromEntries(parseAssignments(assignments)), unset: options.unset },
          ifMatch: '*',
        });
        context.print(
          json,
          () => `Changed ${user}.\n${describeExpired(context, readAnswer(userAnswer, json))}`,
        );
      },
    );

  users
    .command('disable')
    .description('refuse the user from now on, and end their sessions')
    .argument('<user>')
    .action(async (user: string) => {
      const json = await context.call('PATCH', `/v1/users/${segment(user)}`, {
        body: { set: { status: 'disabled' } },
        ifMatch: '*',
      });
      await context.call('DELETE', '/v1/sessions', { query: { user, reason: 'user disabled' } });
      context.print(json, () => `Disabled ${user}.\n`);
    });

  users
    .command('rename')
    .description('give the user another name; their sessions and admin tokens end, everything else follows')
    .argument('<user>')
    .argument('<name>')
    .requiredOption('--reason <text>', 'why; it is audited')
    .action(async (user: string, name: string, { reason }: { readonly reason: string }) => {
      const json = await context.call('POST', `/v1/users/${segment(user)}/rename`, {
        body: { username: name, reason },
      });
      const { moved, tokens_ended: tokens } = readAnswer(userRenamed, json);
      const folders = moved.map(({ storage, from, to }) => `Moved ${from} to ${to} on ${storage}.\n`);
      const ended = tokens === 0 ? '' : `! ${tokens} of their admin tokens ended: sallyport tokens add\n`;
      context.print(
        json,
        () => `Renamed ${user} to ${name}; their sessions ended.\n${folders.join('')}${ended}`,
      );
    });

  users
    .command('delete')
    .description('remove the user with sessions, leases, devices and second factor; files stay')
    .argument('<user>')
    .action(async (user: string) => {
      const json = await context.call('DELETE', `/v1/users/${segment(user)}`, { ifMatch: '*' });
      context.print(json, () => `Deleted ${user}.\n`);
    });

  users
    .command('passwd')
    .description('set a password: asked for, or read from standard input; ends the user’s sessions')
    .argument('<user>')
    .action(async (user: string) => {
      const password = await readNewPassword(context);
      if (password === undefined) {
        throw new SallyportError('usage', 'No password was given', {
          hint: terminal.isInteractive ? 'type one' : 'pipe it in: standard input is read to its end',
        });
      }
      const json = await context.call('PUT', `/v1/users/${segment(user)}/password`, {
        body: { password: password.expose() },
      });
      context.print(json, () => `Changed the password of ${user}.\n`);
    });
  addPasswordLinkCommand(users, context);
}

function addOptions(command: Command): Command {
  return command
    .option('--display-name <name>')
    .option('--email <address>', 'where codes and notices go')
    .option('--phone <number>', 'where text messages go')
    .option('--group <name>', 'a template to inherit from; may be given again', collect, [])
    .option('--no-password', 'no password: SSH keys only')
    .option('--welcome', 'no password: mail a link by which the user sets one');
}

async function addUser(
  context: CommandContext,
  { user, template, assignments }: { user: string; template?: string; assignments: readonly string[] },
  options: AddOptions,
): Promise<void> {
  const set = {
    ...(options.displayName !== undefined && { display_name: options.displayName }),
    ...(options.email !== undefined && { email: options.email }),
    ...(options.phone !== undefined && { phone: options.phone }),
    ...(options.group !== undefined && options.group.length > 0 && { groups: options.group }),
    ...Object.fromEntries(parseAssignments(assignments)),
  };
  const isWelcome = options.welcome === true;
  const password = options.password && !isWelcome ? await readNewPassword(context) : undefined;
  const json = await context.call('POST', '/v1/users', {
    body: {
      username: user,
      set,
      ...(template !== undefined && { template }),
      ...(password !== undefined && { password: password.expose() }),
    },
  });
  const expired = describeExpired(context, readAnswer(userAnswer, json));
  const note =
    expired !== '' || (password === undefined && !isWelcome)
      ? expired
      : await describePasswordAlone(context, user);
  context.print(json, () => `Added ${user}.\n${note}`);
  if (isWelcome) {
    const { told, json: mailed } = await mailPasswordLink(context, user, 'welcome');
    context.print(mailed, () => told);
  }
}

/** Twice at a terminal, once from standard input; undefined: nothing was typed. */
async function readNewPassword({ terminal }: CommandContext): Promise<Secret | undefined> {
  if (!terminal.isInteractive) {
    const input = await terminal.readSecretInput();
    return input.expose() === '' ? undefined : input;
  }
  const first = await terminal.askSecret('New password (empty for none): ');
  if (first.expose() === '') return undefined;
  const second = await terminal.askSecret('Again: ');
  if (first.expose() !== second.expose()) throw new SallyportError('usage', 'The two differ');
  return first;
}

/** A last day that is over is rarely meant. */
function describeExpired(
  { nowMs }: CommandContext,
  { username, expires }: z.output<typeof userAnswer>,
): string {
  return isExpired(expires, nowMs)
    ? `! ${username} can not sign in: the account expired after ${expires}.\n  hint: sallyport users set ${username} expires=<a later day, or null>\n`
    : '';
}

/** A new user who gets in with the password alone is rarely meant; who adds them is told at once. */
async function describePasswordAlone(context: CommandContext, user: string): Promise<string> {
  const { protocols } = readAnswer(userAnswer, await context.call('GET', `/v1/users/${segment(user)}`));
  const factor = readAnswer(
    twoFactorAnswer,
    await context.call('GET', `/v1/users/${segment(user)}/two-factor`),
  );
  const shut = [...factor.required_on, ...factor.setup_due_on, ...factor.locked_out_on];
  const open = protocols.filter((one) => !shut.includes(one));
  if (open.length === 0) return '';
  return `! The password alone lets ${user} in over ${open.join(' and ')}.\n  hint: sallyport users set ${user} two_factor.required_on='[https, sftp]' two_factor.force_setup=true\n`;
}
