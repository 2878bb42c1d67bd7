// What the listening page can do where scripts run: a playhead in the waveform, speed, keys, and the wait for a
// conversion. Without them the browser's own player and the page's own refresh do.

/** Seconds that a key moves the position by. */
const SKIPS = { ArrowLeft: -5, ArrowRight: 5, ArrowDown: -5, ArrowUp: 5, PageDown: -30, PageUp: 30, j: -10, l: 10 };
/** Seconds between two looks at a recording that is being converted. */
const PAUSE = 2;

const byId = (/** @type {string} */ id) => document.getElementById(id);

/** Seconds as '1:03' or '1:00:07'. */
function clock(/** @type {number} */ seconds) {
  const whole = Math.floor(seconds);
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

function play() {
  const audio = /** @type {HTMLAudioElement} */ (byId('audio'));
  const seek = /** @type {HTMLInputElement} */ (byId('seek'));
  const button = /** @type {HTMLButtonElement} */ (byId('play'));
  const speed = /** @type {HTMLSelectElement} */ (byId('speed'));
  const player = /** @type {HTMLElement} */ (byId('player'));
  const played = /** @type {SVGRectElement} */ (/** @type {unknown} */ (byId('played')));
  const length = Number(player.dataset.duration);
  let wanted = 0; // where playing begins, while the sound is not there yet
  let last = 0; // where it was heard last
  let tried = -Infinity; // when the sound was last asked for again

  function show() {
    const now = audio.readyState ? audio.currentTime : wanted;
    played.setAttribute('width', String(length ? (now / length) * 100 : 0));
    seek.value = String(now);
    seek.setAttribute('aria-valuetext', `${clock(now)} / ${clock(length)}`);
    /** @type {HTMLElement} */ (byId('now')).textContent = clock(now);
    const on = !audio.paused;
    button.classList.toggle('on', on);
    button.setAttribute('aria-label', (on ? button.dataset.pause : button.dataset.play) ?? '');
  }

  function run() {
    show();
    if (!audio.paused) requestAnimationFrame(run);
  }

  function toggle() {
    if (!audio.paused) return audio.pause();
    if (audio.error) again();
    audio.play().catch(show);
  }

  /** Goes on where it stopped: the signed address of a long MP3 runs out, and the link leads to a new one. */
  function again() {
    wanted = last;
    tried = performance.now();
    audio.load();
    audio.currentTime = last;
  }

  function go(/** @type {number} */ seconds) {
    wanted = last = Math.max(0, Math.min(length, seconds));
    audio.currentTime = wanted;
    show();
  }

  audio.hidden = true;
  seek.hidden = false;
  for (const id of ['deck', 'keys']) /** @type {HTMLElement} */ (byId(id)).hidden = false;
  button.addEventListener('click', toggle);
  seek.addEventListener('input', () => go(Number(seek.value)));
  speed.addEventListener('change', () => { audio.playbackRate = Number(speed.value); });
  audio.addEventListener('play', run);
  audio.addEventListener('timeupdate', () => { if (!audio.error && audio.readyState) last = audio.currentTime; });
  audio.addEventListener('error', () => {
    const on = !audio.paused;
    audio.pause();
    if (last && performance.now() - tried > 10_000) {
      again();
      if (on) audio.play().catch(show);
    }
    show();
  });
  for (const event of ['pause', 'seeked', 'ended', 'loadedmetadata']) audio.addEventListener(event, show);
  for (const event of ['waiting', 'stalled']) audio.addEventListener(event, () => button.setAttribute('aria-busy', String(!audio.paused)));
  for (const event of ['playing', 'pause', 'canplay']) audio.addEventListener(event, () => button.removeAttribute('aria-busy'));
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.matches('select, a') || (target === button && event.key === ' ')) return;
    const now = audio.readyState ? audio.currentTime : wanted;
    if (event.key === ' ' || event.key === 'k') toggle();
    else if (event.key in SKIPS) go(now + SKIPS[/** @type {keyof typeof SKIPS} */ (event.key)]);
    else if (event.key === 'Home') go(0);
    else if (event.key === 'End') go(length);
    else if (/^[0-9]$/.test(event.key)) go((length * Number(event.key)) / 10);
    else return;
    event.preventDefault();
  });
  if ('mediaSession' in navigator) {
    navigator.mediaSession.metadata = new MediaMetadata({ title: player.dataset.title, artist: player.dataset.author });
  }
  show();
}

async function wait() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE * 1000));
    const { status } = await fetch(location.href, { method: 'HEAD' }).catch(() => ({ status: 0 }));
    if ([200, 404, 410].includes(status)) return location.reload();
  }
}

if (byId('player')) play();
else if (document.querySelector('.working')) wait();
