import { splitSentence } from '#dmz/web/i18n/sentence.ts';

/** What a catalogue says, with the names in it as they are: nobody translates them, nor turns the sentence by them. */
export function Said({ text }: { readonly text: string }) {
  return (
    <>
      {splitSentence(text).map((part, index) =>
        index % 2 === 0 ? (
          part
        ) : (
          <bdi key={index} translate={false}>
            {part}
          </bdi>
        ),
      )}
    </>
  );
}
