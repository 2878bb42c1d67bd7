// What the page says, in the languages it speaks; and how it writes sizes, times and dates in them.

const english = {
  'api': 'API',
  'close': 'Close',
  'undo': 'Undo',
  'hero.title': 'Say it once. Share it as a link.',
  'hero.record': 'Record your voice, or upload audio.',
  'hero.send': 'Send it. It becomes an MP3.',
  'hero.share': 'Share the link. Anyone who has it can listen.',
  'me.title': 'Account',
  'me.id': 'User ID',
  'me.usage': 'Stored',
  'me.usage.some': '{recordings} · {length} · {size}',
  'me.usage.unknown': 'Not known at the moment',
  'me.kept': 'This browser keeps the key to your account. There is no other copy.',
  'me.move': 'Use on another device',
  'me.rotate': 'Replace the key',
  'me.sign_out': 'Sign out',
  'me.erase': 'Delete account',
  'me.moved': 'You are signed in as {name}.',
  'me.dead': 'This link no longer works: its key was replaced, or the account was deleted.',
  'me.rotated': 'The key was replaced. Other devices are signed out.',
  'me.erasing': 'Your account is being deleted, and with it every recording.',
  'me.receipt': 'Receipt',
  'recordings.one': '{n} recording',
  'recordings.other': '{n} recordings',
  'welcome.title': 'What is your name?',
  'welcome.name': 'Your name',
  'welcome.go': 'Continue',
  'welcome.hint': 'Listeners see it. You need no password and no e-mail: this browser keeps your key.',
  'welcome.invite': 'Invitation code',
  'welcome.empty': 'Enter a name.',
  'welcome.invited': 'Sign-up is by invitation. Enter your invitation code.',
  'welcome.again': 'The service no longer recognizes this browser. Enter your name again to send what is waiting.',
  'booth.title': 'New recording',
  'booth.record': 'Record',
  'booth.stop': 'Stop',
  'booth.cancel': 'Cancel',
  'booth.pause': 'Pause',
  'booth.resume': 'Resume',
  'booth.discard': 'Discard',
  'booth.microphone': 'Microphone',
  'booth.default': 'Default microphone',
  'booth.hint': 'Press the red button and speak.',
  'booth.opening': 'Waiting for the microphone. Allow it if the browser asks.',
  'booth.listening': 'Recording. It is saved in this browser as you speak.',
  'booth.paused': 'Paused.',
  'booth.silent': 'No sound. Is the microphone muted, or is another one selected?',
  'booth.clipping': 'Too loud: the sound is distorted. Move away from the microphone.',
  'booth.choose': 'Upload audio files',
  'booth.drop': 'Drop audio files here',
  'booth.name': 'Recording {when}',
  'list.title': 'Your recordings',
  'list.search': 'Search',
  'list.none_found': 'No recording has this name.',
  'list.more': 'Show more',
  'list.send_all': 'Send all ({n})',
  'list.today': 'Today',
  'list.yesterday': 'Yesterday',
  'footer': 'Anyone who has a recording’s link can listen to it. Nobody can guess the link.',
  'item.send': 'Send',
  'item.retry': 'Try again',
  'item.cancel': 'Cancel',
  'item.copy': 'Copy link',
  'item.copied': 'Copied',
  'item.share': 'Share',
  'item.edit': 'Rename',
  'item.download': 'Download MP3',
  'item.save': 'Save WAV',
  'item.delete': 'Delete',
  'item.remove': 'Remove from the list',
  'item.play': 'Play {name}',
  'item.pause': 'Pause {name}',
  'item.seek': 'Position in {name}',
  'item.rename': 'Name of the recording',
  'item.sending': 'Sending {name}',
  'item.position': '{now} of {all}',
  'share.address': 'Link to the recording',
  'share.to': 'Share…',
  'share.open': 'Open the page',
  'share.qr': 'QR code',
  'share.by_hand': 'The browser did not copy the link. Select it and copy it yourself.',
  'state.kept': 'Not sent yet. Saved in this browser.',
  'state.recovered': 'The page was closed during this recording. Everything up to that moment is here.',
  'state.elsewhere': 'Another tab has the rest of this recording. Send it from there.',
  'state.cut': 'The browser had no room for the end of this recording, and the page that had it was closed. What there is, is here.',
  'state.cancelled': 'Cancelled. Saved in this browser until you send or delete it.',
  'state.reading': 'Reading the file…',
  'state.waiting': 'Waiting to be sent.',
  'state.finishing': 'Uploaded. Converting…',
  'state.converting': 'Uploaded. Converting… The link already works.',
  'state.truncated': 'The file ends earlier than it says. Everything that is in it was kept.',
  'state.silent': 'This recording is silent from beginning to end.',
  'state.unkept': 'The browser has no room to save it: leave this page open until it is sent.',
  'state.later': 'Saved in this browser. It will be sent automatically as soon as possible.',
  'state.left': 'Left to send: {left}.',
  'amount': '{sent} of {all}',
  'amount.speed': '{sent} of {all} · {speed}/s · {left} left',
  'say.recording': 'Recording',
  'say.paused': 'Paused',
  'say.stopped': 'Stopped. {length} recorded, not sent yet.',
  'say.discarded': 'The recording was discarded.',
  'say.added.one': '{n} file added.',
  'say.added.other': '{n} files added.',
  'say.percent': '{name}: {percent} sent',
  'say.ready': '{name} is ready. You can copy its link.',
  'say.copied': 'The link to {name} is copied.',
  'say.deleted': '“{name}” was deleted.',
  'say.removed': '“{name}” was removed from the list.',
  'say.back': '“{name}” is back.',
  'say.welcome': 'Welcome, {name}.',
  'sure.discard': 'Discard this recording?',
  'sure.move': 'The link and the QR code contain your key. Whoever opens them can listen to, change and delete everything in your account. Show them to nobody but your own device.',
  'sure.move.yes': 'Show them',
  'sure.rotate': 'Get a new key? Every other device that uses this account will be signed out.',
  'sure.sign_out': 'Sign out? Without the key, which only this browser has, nobody can open this account again. The links you shared keep working.',
  'sure.erase': 'Delete your account with all its recordings? Every link stops working. This cannot be undone.',
  'sure.sign_in': 'Sign in as {name}? What you send from this browser will be in that account.',
  'sure.replace': 'Sign in as {name}? This browser is signed in as {other}, and its key will be lost.',
  'ask.no': 'Cancel',
  'problem.network': 'The connection was lost.',
  'problem.unavailable': 'The service is busy.',
  'problem.invalid_credentials': 'The service no longer recognizes this browser. Enter your name again to send this recording.',
  'problem.invite_required': 'Sign-up is by invitation. Enter your invitation code.',
  'problem.too_many_signups': 'Too many people signed up from this network. Try again in an hour.',
  'problem.daily_limit': 'You have reached today’s limit. It will be sent tomorrow.',
  'problem.storage_full': 'Your storage is full. Delete a recording and try again.',
  'problem.not_audio': '“{name}” is not audio that this browser can read.',
  'problem.empty': '“{name}” is empty.',
  'problem.too_long': '“{name}” is longer than {length}. Convert it to WAV first, or cut it into parts.',
  'problem.unsupported_audio': 'The service cannot read this WAV file: it is another format, or uses rare compression. Export it as WAV, 16-bit or 24-bit PCM.',
  'problem.unplayable_audio': 'This WAV file is damaged or cannot be converted. Export it again as WAV, 16-bit or 24-bit PCM.',
  'problem.upload_damaged': 'The file was damaged while it was sent. Try again.',
  'reason.no_data': 'There is no sound in this file.',
  'reason.no_samples': 'There is no sound in this file.',
  'reason.too_long': 'This recording is longer than 24 hours. Cut it into parts.',
  'reason.bad_channels': 'This file has no channels, or more than eight. Mix it down to stereo.',
  'reason.bad_sample_rate': 'The sample rate of this file is not between 1 and 384 kHz. Export it at 44.1 or 48 kHz.',
  'reason.damaged': 'Part of the sound in this file is damaged. If you have the original, export it again.',
  'reason.undecodable': 'The sound in this file cannot be decoded. If you have the original, export it again.',
  'problem.audio_too_large': 'This recording is too large: the limit is {limit}. Cut it into parts.',
  'problem.idempotency_conflict': 'Something else was already sent under this recording’s key. Try again.',
  'problem.record_not_found': 'The service no longer has this recording: it was deleted, or did not arrive in time.',
  'problem.conversion_error': 'The conversion failed on the service’s side. Try again.',
  'problem.conversion_timeout': 'This recording takes too long to convert. Cut it into parts.',
  'problem.upload_expired': 'The permission to upload expired before the recording arrived.',
  'problem.validation_failed': 'The service did not accept the name. Change it and try again.',
  'problem.unknown': 'The service returned an unexpected response.',
  'problem.playback': 'It cannot be played at the moment. Try again shortly.',
  'problem.unread': 'The browser cannot read this recording at the moment.',
  'problem.lost': 'The browser has deleted the sound of this recording. If you have the file, upload it again.',
  'microphone.NotAllowedError': 'The browser may not use the microphone. Allow it in the address bar or in the settings of this site, then press the red button again.',
  'microphone.NotFoundError': 'There is no microphone. Connect one, or upload a file instead.',
  'microphone.NotReadableError': 'Another program is using the microphone. Close it, then press the red button again.',
  'microphone.OverconstrainedError': 'The selected microphone is not connected. Choose another one.',
  'microphone.insecure': 'Browsers allow the microphone at https:// addresses only. You can still upload files here.',
  'microphone.lost': 'The microphone was disconnected. Everything recorded so far is below.',
  'microphone.full': 'This is the longest possible recording. It is below.',
  'microphone.stuck': 'The browser’s audio does not start. Connect speakers or headphones, load this page again, or upload a file instead.',
  'microphone.unknown': 'The microphone could not be opened. Try again, or upload a file instead.',
  'microphone.unkept': 'The browser has no room left to save the recording as you speak. Stop and send it soon.',
};

const russian = {
  'api': 'API',
  'close': 'Закрыть',
  'undo': 'Отменить',
  'hero.title': 'Скажите один раз — и поделитесь ссылкой.',
  'hero.record': 'Запишите голос или загрузите аудио.',
  'hero.send': 'Отправьте — получится MP3.',
  'hero.share': 'Поделитесь ссылкой: запись услышит каждый, у кого она есть.',
  'me.title': 'Аккаунт',
  'me.id': 'Номер пользователя',
  'me.usage': 'Хранится',
  'me.usage.some': '{recordings} · {length} · {size}',
  'me.usage.unknown': 'Сейчас неизвестно',
  'me.kept': 'Ключ к аккаунту хранится только в этом браузере. Копии нет.',
  'me.move': 'Открыть на другом устройстве',
  'me.rotate': 'Сменить ключ',
  'me.sign_out': 'Выйти',
  'me.erase': 'Удалить аккаунт',
  'me.moved': 'Вы вошли как {name}.',
  'me.dead': 'Эта ссылка больше не действует: ключ сменили или аккаунт удалили.',
  'me.rotated': 'Ключ сменён. На других устройствах выполнен выход.',
  'me.erasing': 'Аккаунт и все его записи удаляются.',
  'me.receipt': 'Подтверждение удаления',
  'recordings.one': '{n} запись',
  'recordings.few': '{n} записи',
  'recordings.many': '{n} записей',
  'recordings.other': '{n} записи',
  'welcome.title': 'Как вас зовут?',
  'welcome.name': 'Ваше имя',
  'welcome.go': 'Продолжить',
  'welcome.hint': 'Его увидят слушатели. Пароль и почта не нужны: ключ хранится в этом браузере.',
  'welcome.invite': 'Код приглашения',
  'welcome.empty': 'Введите имя.',
  'welcome.invited': 'Регистрация по приглашениям. Введите код приглашения.',
  'welcome.again': 'Сервис больше не узнаёт этот браузер. Введите имя ещё раз, и всё, что ждёт, отправится.',
  'booth.title': 'Новая запись',
  'booth.record': 'Записать',
  'booth.stop': 'Стоп',
  'booth.cancel': 'Отмена',
  'booth.pause': 'Пауза',
  'booth.resume': 'Продолжить',
  'booth.discard': 'Удалить',
  'booth.microphone': 'Микрофон',
  'booth.default': 'Микрофон по умолчанию',
  'booth.hint': 'Нажмите красную кнопку и говорите.',
  'booth.opening': 'Ждём микрофон. Разрешите доступ, если браузер спросит.',
  'booth.listening': 'Идёт запись. Она сразу сохраняется в этом браузере.',
  'booth.paused': 'Пауза.',
  'booth.silent': 'Звука нет. Микрофон выключен, или выбран другой?',
  'booth.clipping': 'Слишком громко: звук искажается. Отодвиньтесь от микрофона.',
  'booth.choose': 'Загрузить аудиофайлы',
  'booth.drop': 'Перетащите аудиофайлы сюда',
  'booth.name': 'Запись {when}',
  'list.title': 'Ваши записи',
  'list.search': 'Поиск',
  'list.none_found': 'Записей с таким названием нет.',
  'list.more': 'Показать ещё',
  'list.send_all': 'Отправить все ({n})',
  'list.today': 'Сегодня',
  'list.yesterday': 'Вчера',
  'footer': 'Запись услышит каждый, у кого есть ссылка. Угадать ссылку нельзя.',
  'item.send': 'Отправить',
  'item.retry': 'Повторить',
  'item.cancel': 'Отменить',
  'item.copy': 'Скопировать ссылку',
  'item.copied': 'Скопировано',
  'item.share': 'Поделиться',
  'item.edit': 'Переименовать',
  'item.download': 'Скачать MP3',
  'item.save': 'Сохранить WAV',
  'item.delete': 'Удалить',
  'item.remove': 'Убрать из списка',
  'item.play': 'Слушать: {name}',
  'item.pause': 'Пауза: {name}',
  'item.seek': 'Место в записи {name}',
  'item.rename': 'Название записи',
  'item.sending': 'Отправляется {name}',
  'item.position': '{now} из {all}',
  'share.address': 'Ссылка на запись',
  'share.to': 'Поделиться…',
  'share.open': 'Открыть страницу',
  'share.qr': 'QR-код',
  'share.by_hand': 'Браузер не скопировал ссылку. Выделите её и скопируйте сами.',
  'state.kept': 'Ещё не отправлено. Сохранено в этом браузере.',
  'state.recovered': 'Страница закрылась во время записи. Всё, что успело записаться, здесь.',
  'state.elsewhere': 'Остаток этой записи — в другой вкладке. Отправьте её оттуда.',
  'state.cut': 'Для конца записи в браузере не хватило места, а страницу, где он был, закрыли. Здесь всё, что осталось.',
  'state.cancelled': 'Отменено. Хранится в этом браузере, пока вы не отправите или не удалите запись.',
  'state.reading': 'Читаем файл…',
  'state.waiting': 'Ждёт отправки.',
  'state.finishing': 'Загружено. Преобразуем…',
  'state.converting': 'Загружено. Преобразуем… Ссылка уже работает.',
  'state.truncated': 'Файл заканчивается раньше, чем в нём указано. Всё, что в нём есть, сохранено.',
  'state.silent': 'В этой записи тишина от начала до конца.',
  'state.unkept': 'В браузере нет места, чтобы её сохранить: не закрывайте страницу до отправки.',
  'state.later': 'Сохранено в этом браузере. Отправится само, как только получится.',
  'state.left': 'Осталось отправить: {left}.',
  'amount': '{sent} из {all}',
  'amount.speed': '{sent} из {all} · {speed}/с · осталось {left}',
  'say.recording': 'Идёт запись',
  'say.paused': 'Пауза',
  'say.stopped': 'Стоп. Записано: {length}, ещё не отправлено.',
  'say.discarded': 'Запись удалена.',
  'say.added.one': 'Добавлен {n} файл.',
  'say.added.few': 'Добавлено {n} файла.',
  'say.added.many': 'Добавлено {n} файлов.',
  'say.added.other': 'Добавлено {n} файла.',
  'say.percent': '{name}: отправлено {percent}',
  'say.ready': '{name}: готово. Можно скопировать ссылку.',
  'say.copied': 'Ссылка на {name} скопирована.',
  'say.deleted': 'Запись «{name}» удалена.',
  'say.removed': 'Запись «{name}» убрана из списка.',
  'say.back': 'Запись «{name}» возвращена.',
  'say.welcome': 'Здравствуйте, {name}.',
  'sure.discard': 'Удалить эту запись?',
  'sure.move': 'В ссылке и QR-коде — ваш ключ. Кто их откроет, сможет слушать, менять и удалять всё в вашем аккаунте. Не показывайте их никому, открывайте только на своём устройстве.',
  'sure.move.yes': 'Показать',
  'sure.rotate': 'Сменить ключ? На всех других устройствах с этим аккаунтом произойдёт выход.',
  'sure.sign_out': 'Выйти? Ключ есть только в этом браузере: без него в этот аккаунт больше не войти. Ссылки, которыми вы поделились, продолжат работать.',
  'sure.erase': 'Удалить аккаунт со всеми записями? Все ссылки перестанут работать. Отменить это нельзя.',
  'sure.sign_in': 'Войти как {name}? Всё, что вы отправите из этого браузера, будет в этом аккаунте.',
  'sure.replace': 'Войти как {name}? Сейчас в этом браузере открыт аккаунт {other}, его ключ будет потерян.',
  'ask.no': 'Отмена',
  'problem.network': 'Соединение прервалось.',
  'problem.unavailable': 'Сервис сейчас занят.',
  'problem.invalid_credentials': 'Сервис больше не узнаёт этот браузер. Введите имя ещё раз, и запись отправится.',
  'problem.invite_required': 'Регистрация по приглашениям. Введите код приглашения.',
  'problem.too_many_signups': 'Из этой сети слишком много регистраций. Попробуйте через час.',
  'problem.daily_limit': 'Лимит на сегодня исчерпан. Запись отправится завтра.',
  'problem.storage_full': 'Место закончилось. Удалите какую-нибудь запись и повторите.',
  'problem.not_audio': '«{name}»: браузер не может прочитать этот файл как аудио.',
  'problem.empty': '«{name}»: файл пуст.',
  'problem.too_long': '«{name}» длиннее {length}. Сначала преобразуйте файл в WAV или разделите на части.',
  'problem.unsupported_audio': 'Сервис не может прочитать этот файл WAV: это другой формат или редкое сжатие. Сохраните его как WAV, PCM 16 или 24 бита.',
  'problem.unplayable_audio': 'Этот файл WAV повреждён, или его нельзя преобразовать. Сохраните его ещё раз как WAV, PCM 16 или 24 бита.',
  'problem.upload_damaged': 'Файл повредился при загрузке. Попробуйте ещё раз.',
  'reason.no_data': 'В этом файле нет звука.',
  'reason.no_samples': 'В этом файле нет звука.',
  'reason.too_long': 'Эта запись длиннее 24 часов. Разделите её на части.',
  'reason.bad_channels': 'В этом файле нет каналов или их больше восьми. Сведите его в стерео.',
  'reason.bad_sample_rate': 'Частота дискретизации этого файла не от 1 до 384 кГц. Сохраните его с частотой 44,1 или 48 кГц.',
  'reason.damaged': 'Часть звука в этом файле повреждена. Если есть оригинал, сохраните его ещё раз.',
  'reason.undecodable': 'Звук в этом файле нельзя декодировать. Если есть оригинал, сохраните его ещё раз.',
  'problem.audio_too_large': 'Запись слишком большая: можно не больше {limit}. Разделите её на части.',
  'problem.idempotency_conflict': 'Под ключом этой записи уже отправлено что-то другое. Попробуйте ещё раз.',
  'problem.record_not_found': 'У сервиса больше нет этой записи: её удалили, или она вовремя не загрузилась.',
  'problem.conversion_error': 'Преобразование не удалось по вине сервиса. Попробуйте ещё раз.',
  'problem.conversion_timeout': 'Эта запись преобразуется слишком долго. Разделите её на части.',
  'problem.upload_expired': 'Разрешение на загрузку истекло раньше, чем запись загрузилась.',
  'problem.validation_failed': 'Сервис не принял название. Измените его и попробуйте снова.',
  'problem.unknown': 'Сервис вернул неожиданный ответ.',
  'problem.playback': 'Сейчас не воспроизводится. Попробуйте чуть позже.',
  'problem.unread': 'Браузер сейчас не может прочитать эту запись.',
  'problem.lost': 'Браузер удалил звук этой записи. Если файл у вас есть, загрузите его ещё раз.',
  'microphone.NotAllowedError': 'Браузеру не разрешён доступ к микрофону. Разрешите его в адресной строке или в настройках сайта и снова нажмите красную кнопку.',
  'microphone.NotFoundError': 'Микрофона нет. Подключите его или загрузите файл.',
  'microphone.NotReadableError': 'Микрофон занят другой программой. Закройте её и снова нажмите красную кнопку.',
  'microphone.OverconstrainedError': 'Выбранный микрофон не подключён. Выберите другой.',
  'microphone.insecure': 'Браузер разрешает микрофон только на адресах https://. Загружать файлы можно и здесь.',
  'microphone.lost': 'Микрофон отключился. Всё, что успело записаться, — ниже.',
  'microphone.full': 'Длиннее записать нельзя. Запись — ниже.',
  'microphone.stuck': 'Звук в браузере не запускается. Подключите наушники или колонки, обновите страницу или загрузите файл.',
  'microphone.unknown': 'Микрофон не открылся. Попробуйте снова или загрузите файл.',
  'microphone.unkept': 'В браузере закончилось место для записи. Остановите её и отправьте поскорее.',
};

/** Every sentence of every language. */
/** @type {Record<string, Record<string, string>>} */
export const languages = { en: english, ru: russian };

const CHOSEN = 'records.language';

/** The language that was chosen here before, or null. */
function chosen() {
  try {
    return localStorage.getItem(CHOSEN);
  } catch {
    return null; // storage is switched off
  }
}

/** The chosen language, else the first of the browser's that the page speaks: 'en' or 'ru'. */
export const language =
  [chosen() ?? '', ...(navigator.languages ?? [navigator.language])].map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in languages) ?? 'en';

/** Shows the page in that language from now on. */
export function choose(/** @type {string} */ other) {
  try {
    localStorage.setItem(CHOSEN, other);
  } catch {
    return; // storage is switched off
  }
  location.reload();
}

const dictionary = languages[language];
const plural = new Intl.PluralRules(language);

/**
 * The sentence of that key; `{x}` in it becomes values.x, and values.n chooses among `.one`, `.few`, `.other`.
 * @param {string} key @param {Record<string, string | number>} values
 */
export function words(key, values = {}) {
  const sentence = dictionary[key] ?? dictionary[`${key}.${plural.select(Number(values.n))}`];
  return sentence.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/**
 * A problem as a sentence. A code that the page does not know speaks for itself, in the service's words.
 * @param {import('./api.js').Failure} problem
 */
export function explain(problem) {
  const limit = size(problem.details?.max_bytes ?? problem.details?.limit_bytes ?? 0);
  const key = [`reason.${problem.details?.reason}`, `problem.${problem.code}`].find((key) => key in dictionary);
  return key ? words(key, { limit }) : problem.message || words('problem.unknown');
}

/** Puts the words into every element that names them by data-words. */
export function translate(/** @type {ParentNode} */ root) {
  /** @type {NodeListOf<HTMLElement>} */
  const named = root.querySelectorAll('[data-words], [data-label]');
  for (const element of named) {
    if (element.dataset.words) element.textContent = words(element.dataset.words);
    if (element.dataset.label) element.setAttribute('aria-label', words(element.dataset.label));
  }
}

const units = ['kilobyte', 'megabyte', 'gigabyte'];

/** A number of bytes: '57.6 MB'; what is smaller than a kilobyte is written as one. */
export function size(/** @type {number} */ bytes) {
  const power = Math.min(3, Math.max(1, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  const value = bytes && Math.max(1, bytes / 1000 ** power);
  const digits = power > 1 && value < 100 ? 1 : 0;
  /** @type {Intl.NumberFormatOptions} */
  const format = { style: 'unit', unit: units[power - 1], unitDisplay: 'short', minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(language, format).format(value);
}

/** Seconds as a clock shows them: '1:03', '1:00:07'. */
export function clock(/** @type {number} */ seconds) {
  const whole = Math.floor(seconds);
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** Seconds as they are said aloud: '1 minute 3 seconds'. */
export function spoken(/** @type {number} */ seconds) {
  const whole = Math.floor(seconds);
  /** @type {[string, number][]} */
  const parts = [['hour', Math.floor(whole / 3600)], ['minute', Math.floor(whole / 60) % 60], ['second', whole % 60]];
  return parts
    .filter(([unit, n]) => n || (unit === 'second' && whole === 0))
    .map(([unit, n]) => new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'long' }).format(n))
    .join(' ');
}

/** 0.25 as '25%'. */
export const percent = (/** @type {number} */ share) => new Intl.NumberFormat(language, { style: 'percent' }).format(share);

/** Seconds as a rough length: '40 sec', '5 min', '2.5 hr'. */
export function rough(/** @type {number} */ seconds) {
  /** @type {[string, number]} */
  const [unit, n] = seconds < 60 ? ['second', Math.max(1, Math.round(seconds))] : seconds < 3600 ? ['minute', Math.round(seconds / 60)] : ['hour', seconds / 3600];
  return new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: 1 }).format(n);
}

const thisYear = (/** @type {number} */ moment) => new Date(moment).getFullYear() === new Date().getFullYear();

/** A moment (ms) as a day and a time; the year where it is another. */
export function when(/** @type {number} */ moment) {
  const year = thisYear(moment) ? undefined : 'numeric';
  return new Intl.DateTimeFormat(language, { day: 'numeric', month: 'short', year, hour: 'numeric', minute: '2-digit' }).format(moment);
}

/** The time of day of a moment (ms). */
export const time = (/** @type {number} */ moment) => new Intl.DateTimeFormat(language, { hour: 'numeric', minute: '2-digit' }).format(moment);

/** The day of a moment (ms): 'Today', 'Monday, 23 November'. */
export function day(/** @type {number} */ moment) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (moment >= midnight) return words('list.today');
  if (moment >= midnight - 86_400_000) return words('list.yesterday');
  const year = thisYear(moment) ? undefined : 'numeric';
  return new Intl.DateTimeFormat(language, { weekday: 'long', day: 'numeric', month: 'long', year }).format(moment);
}
