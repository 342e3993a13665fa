import { useEffect, useRef, useState } from 'preact/hooks';
import { toApiProblem, type ApiProblem } from '#dmz/web/api/problem.ts';
import { Button } from '#dmz/web/components/button.tsx';
import { Card } from '#dmz/web/components/card.tsx';
import { Icon } from '#dmz/web/components/icon.tsx';
import { Message } from '#dmz/web/components/message.tsx';
import { OutageCountdown } from '#dmz/web/components/outage.tsx';
import { TextField } from '#dmz/web/components/text-field.tsx';
import type { Formats } from '#dmz/web/format/formats.ts';
import type { Catalogue } from '#dmz/web/i18n/en.ts';
import { outageRetryMs } from '#dmz/web/limits.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';
import type { SignedOutNotice } from '#dmz/web/state/session.ts';

function describeNotice(notice: SignedOutNotice, words: Catalogue): string {
  switch (notice) {
    case 'signed-out':
      return words.signIn.signedOut;
    case 'expired':
      return words.signIn.expired;
    case 'elsewhere':
      return words.signIn.elsewhere;
    case 'start-again':
      return words.signIn.startAgain;
    case 'refused':
      return words.signIn.refusedTogether;
  }
}

function describeProblem(problem: ApiProblem, words: Catalogue, formats: Formats): string {
  if (problem.status === 401) return words.signIn.refused;
  if (problem.status === 429)
    return words.signIn.tooMany(formats.duration((problem.details.retryAfterMs ?? 60_000) / 1000));
  if (problem.details.reason === 'delivery-failed') return words.signIn.deliveryFailed;
  return words.signIn.failed;
}

/** The legal notice of this place. */
function Banner() {
  const { banner } = useClient().branding;
  if (banner === undefined) return null;
  return (
    // It may be long: whoever reads it by keyboard has to be able to scroll.
    <p class="sign-in-banner" tabIndex={0}>
      {banner.trim()}
    </p>
  );
}

/** Whom to ask. */
function Help() {
  const { help } = useClient().branding;
  if (help === undefined) return null;
  const { text, link } = help;
  return (
    <p class="sign-in-help">
      {link === undefined ? (
        text
      ) : (
        <a href={link} rel="noreferrer">
          {text}
        </a>
      )}
    </p>
  );
}

/** First step: user name and password. */
export function SignInPage({ notice }: { readonly notice: SignedOutNotice | undefined }) {
  const { session } = useClient();
  const words = useWords();
  const formats = useFormats();
  const [username, setUsername] = useState(session.username);
  const [password, setPassword] = useState('');
  const [visible, setVisible] = useState(false);
  const [busy, setBusy] = useState(false);
  const [missing, setMissing] = useState(false);
  const [failure, setFailure] = useState<{ problem: ApiProblem; retryAtMs: number } | undefined>();
  const usernameField = useRef<HTMLInputElement>(null);
  const passwordField = useRef<HTMLInputElement>(null);

  useEffect(() => {
    (username === '' ? usernameField : passwordField).current?.focus();
  }, []);

  const submit = async (): Promise<void> => {
    if (busy) return;
    // Some password managers fill fields without telling; what stands there counts.
    const typedName = usernameField.current?.value ?? username;
    const typedPassword = passwordField.current?.value ?? password;
    if (typedName === '' || typedPassword === '') {
      setMissing(true);
      (typedName === '' ? usernameField : passwordField).current?.focus();
      return;
    }
    setMissing(false);
    setBusy(true);
    try {
      await session.signIn(typedName, typedPassword);
    } catch (thrown) {
      const problem = toApiProblem(thrown);
      const retryAtMs = Date.now() + (problem.details.retryAfterMs ?? outageRetryMs);
      setFailure({ problem, retryAtMs });
      setBusy(false);
      if (problem.status === 401) {
        setPassword('');
        passwordField.current?.focus();
      }
    }
  };

  return (
    <Card view="sign-in" title={words.signIn.title}>
      {failure === undefined && !missing && notice !== undefined && (
        <Message kind={notice === 'signed-out' ? 'ok' : 'warn'}>{describeNotice(notice, words)}</Message>
      )}
      <Banner />
      <form
        method="post"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <TextField
          label={words.signIn.username}
          name="username"
          autocomplete="username"
          value={username}
          onInput={setUsername}
          inputRef={usernameField}
        />
        <TextField
          label={words.signIn.password}
          name="password"
          type={visible ? 'text' : 'password'}
          autocomplete="current-password"
          value={password}
          onInput={setPassword}
          inputRef={passwordField}
          trailing={
            <button
              type="button"
              class="field-button"
              aria-label={visible ? words.signIn.hidePassword : words.signIn.showPassword}
              title={visible ? words.signIn.hidePassword : words.signIn.showPassword}
              onClick={() => setVisible(!visible)}
            >
              <Icon name={visible ? 'eyeOff' : 'eye'} />
            </button>
          }
        />
        <Button kind="primary" type="submit" wide busy={busy}>
          {busy ? words.signIn.working : words.signIn.submit}
        </Button>
        {missing && <Message kind="danger">{words.signIn.missing}</Message>}
        {!missing &&
          failure !== undefined &&
          (failure.problem.isOutage ? (
            <OutageCountdown
              outage={{
                side: failure.problem.outageSide,
                retryAtMs: failure.retryAtMs,
              }}
              onRetry={submit}
            />
          ) : (
            <Message kind="danger" reference={failure.problem.details.reference}>
              {describeProblem(failure.problem, words, formats)}
            </Message>
          ))}
      </form>
      <Help />
    </Card>
  );
}
