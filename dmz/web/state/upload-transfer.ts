import type { StoredUpload } from '#dmz/http-api/files.ts';
import { createUpload, findUpload, putFile, sendRest } from '#dmz/web/api/upload.ts';
import type { Http } from '#dmz/web/api/http.ts';
import { toApiProblem } from '#dmz/web/api/problem.ts';
import { sampleFile } from '#dmz/web/files/file-sample.ts';
import { uploadFiguresIntervalMs, uploadResumableBytesMin } from '#dmz/web/limits.ts';
import type { FileSamples } from '#dmz/web/state/file-samples.ts';
import type { Upload } from '#dmz/web/state/upload.ts';

/** Sends one file, from wherever the server got to. Rejects ApiProblem, or AbortError when it was stopped. */
export async function transferFile(upload: Upload, http: Http, samples: FileSamples): Promise<void> {
  const { file, stopping } = upload;
  if (file === undefined) throw new Error('no file to send');
  if (upload.serverId === undefined && file.size < uploadResumableBytesMin) {
    await putFile({
      path: [...upload.folder, upload.name.value],
      file,
      overwrite: upload.choice === 'replace',
      signal: stopping.signal,
    });
  } else await sendResumably(upload, file, http, samples);
  upload.storedBytes.value = upload.sizeBytes;
}

async function sendResumably(upload: Upload, file: File, http: Http, samples: FileSamples): Promise<void> {
  const { signal } = upload.stopping;
  const stored = (await findStored(upload, http)) ?? (await begin(upload, file, http, samples));
  upload.storedBytes.value = stored.offset;
  if (stored.offset < stored.length || stored.length === 0) {
    const stopWatching = watchStored(upload, stored.id, http);
    try {
      await sendRest({ id: stored.id, offset: stored.offset, file, signal });
    } finally {
      stopWatching();
    }
  }
  samples.remove(stored.id);
}

/** Undefined: there is none, or it is gone (nobody came back for a day). */
async function findStored(upload: Upload, http: Http): Promise<StoredUpload | undefined> {
  if (upload.serverId === undefined) return undefined;
  try {
    return await findUpload(http, upload.serverId, upload.stopping.signal);
  } catch (thrown) {
    if (toApiProblem(thrown).status !== 404) throw thrown;
    upload.serverId = undefined;
    upload.storedBytes.value = 0;
    return undefined;
  }
}

async function begin(upload: Upload, file: File, http: Http, samples: FileSamples): Promise<StoredUpload> {
  const { signal } = upload.stopping;
  const sample = await sampleFile(file);
  signal.throwIfAborted();
  const stored = await createUpload(http, {
    path: [...upload.folder, upload.name.value],
    file,
    overwrite: upload.choice === 'replace',
  });
  upload.serverId = stored.id;
  samples.put(stored.id, sample);
  return stored;
}

/**
 * Asks the server how much it has, again and again. What the browser calls "sent" may still be in its own buffers, in
 * ours or in the air; a person wants to know what is safe.
 */
function watchStored(upload: Upload, id: string, http: Http): () => void {
  let sinceMs = performance.now();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  const look = async (): Promise<void> => {
    try {
      const { offset } = await findUpload(http, id, upload.stopping.signal);
      if (!stopped) note(offset);
    } catch {
      // The transfer itself will say what is wrong.
    }
    if (!stopped) timer = setTimeout(() => void look(), uploadFiguresIntervalMs);
  };
  const note = (offset: number): void => {
    const nowMs = performance.now();
    const latest = ((offset - upload.storedBytes.value) / Math.max(1, nowMs - sinceMs)) * 1000;
    const smoothed = upload.bytesPerSecond.value;
    // Smoothed, so that the time left doesn't dance.
    upload.bytesPerSecond.value = smoothed === 0 ? latest : smoothed * 0.7 + latest * 0.3;
    upload.storedBytes.value = offset;
    sinceMs = nowMs;
  };
  timer = setTimeout(() => void look(), uploadFiguresIntervalMs);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
