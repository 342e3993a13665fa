import { useEffect, useState } from 'preact/hooks';
import type { Setup } from '#dmz/http-api/sign-in.ts';
import { Button, IconButton } from '#dmz/web/components/button.tsx';
import { copyText } from '#dmz/web/components/text-out.ts';
import { CountdownRing } from '#dmz/web/components/countdown-ring.tsx';
import { useSecondsUntil } from '#dmz/web/components/countdown.ts';
import { useClient, useWords } from '#dmz/web/state/client.ts';

/** Read out at these, so that the countdown is heard without being a nuisance. */
const spokenSeconds = new Set([20, 10, 5]);

/** Base32 in groups of four, as people type it. */
function groupKey(secret: string): string {
  return secret.replace(/(.{4})(?=.)/g, '$1 ');
}

/** The QR code with its key as text, while its time lasts. */
export function SetupScan({
  setup,
  expiresAtMs,
  late,
  busy,
  onConfirm,
  onNewCode,
}: {
  readonly setup: Setup;
  readonly expiresAtMs: number;
  /** The one before this was confirmed too late. */
  readonly late: boolean;
  readonly busy: boolean;
  readonly onConfirm: () => void;
  readonly onNewCode: () => void;
}) {
  const { notices } = useClient();
  const words = useWords();
  const [copied, setCopied] = useState(false);
  const seconds = useSecondsUntil(expiresAtMs);
  const expired = seconds === 0;
  useEffect(() => {
    if (spokenSeconds.has(seconds)) notices.say(words.setup.secondsLeft(seconds));
    if (expired) notices.say(words.setup.expired);
  }, [seconds]);
  useEffect(() => setCopied(false), [setup.secret]);

  return (
    <div class="scan" data-view={expired ? 'setup-scan-expired' : 'setup-scan'}>
      <p>{late ? words.setup.confirmLate : words.setup.scanIntro}</p>
      <div class={expired ? 'scan-code scan-code-expired' : 'scan-code'}>
        <img src={setup.qr} width="320" height="320" alt={expired ? '' : words.setup.qr} />
        {expired && (
          <div class="scan-over">
            <p>{words.setup.expired}</p>
            <Button kind="primary" icon="retry" busy={busy} onClick={onNewCode}>
              {words.setup.newCode}
            </Button>
          </div>
        )}
      </div>
      {!expired && (
        <>
          <div class="scan-key">
            <CountdownRing seconds={seconds} of={setup.expires_in} />
            <div>
              <p class="muted">{words.setup.key}</p>
              <div class="scan-key-row">
                <code class="secret" translate={false}>
                  {groupKey(setup.secret)}
                </code>
                <IconButton
                  icon={copied ? 'check' : 'copy'}
                  label={words.setup.copyKey}
                  onClick={() => {
                    void copyText(setup.secret).then((done) => {
                      setCopied(done);
                      if (done) notices.say(words.setup.copied);
                      else notices.failure(words.setup.copyFailed);
                    });
                  }}
                />
              </div>
            </div>
          </div>
          <a class="on-touch" href={setup.otpauth_uri}>
            {words.setup.openApp}
          </a>
          <Button kind="primary" wide busy={busy} onClick={onConfirm}>
            {words.setup.confirm}
          </Button>
        </>
      )}
    </div>
  );
}
