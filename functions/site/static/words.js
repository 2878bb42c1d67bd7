// What the page says, in the languages it speaks; and how it writes sizes, times and dates in them.

const english = {
  'api': 'API',
  'me.id': 'User id',
  'me.kept': 'This browser keeps the key to it. Nobody has a copy.',
  'me.forget': 'Use another name',
  'welcome.title': 'Say it once. Share it as a link.',
  'welcome.lead': 'Record here or bring WAV files. Each becomes an MP3 with an address of its own, for you to pass on.',
  'welcome.name': 'Your name',
  'welcome.go': 'Begin',
  'welcome.hint': 'No password and no e-mail: this browser keeps your key.',
  'welcome.empty': 'Write a name, any name: it is how your recordings are signed.',
  'welcome.again': 'The service no longer knows this browser. Give your name again, and what waits will be sent.',
  'booth.title': 'New recording',
  'booth.record': 'Record',
  'booth.stop': 'Stop',
  'booth.discard': 'Discard',
  'booth.hint': 'Press the red button and speak.',
  'booth.opening': 'Waiting for the microphone. Allow it if the browser asks.',
  'booth.listening': 'Recording. It is kept in this browser as it goes.',
  'booth.silent': 'Nothing is heard. Is the microphone muted, or is it another one?',
  'booth.choose': 'Choose WAV files',
  'booth.drop': 'or drop them anywhere on this page',
  'booth.drop.now': 'Drop WAV files to send them',
  'booth.name': 'Recording {when}',
  'list.title': 'Your recordings',
  'list.none': 'Nothing yet. What you record or bring here stays in this list.',
  'footer': 'Whoever has a recording’s link can listen to it, and nobody can guess it.',
  'item.send': 'Send',
  'item.retry': 'Try again',
  'item.cancel': 'Cancel',
  'item.copy': 'Copy link',
  'item.copied': 'Copied',
  'item.download': 'Download MP3',
  'item.save': 'Save WAV',
  'item.remove': 'Remove',
  'item.play': 'Play {name}',
  'item.pause': 'Pause {name}',
  'item.seek': 'Position in {name}',
  'item.rename': 'Name of the recording',
  'item.sending': 'Sending {name}',
  'item.position': '{now} of {all}',
  'state.kept': 'Not sent yet. It is kept in this browser.',
  'state.recovered': 'The page closed while this was being recorded. All of it up to then is here.',
  'state.cancelled': 'Cancelled. It is kept in this browser until you send or remove it.',
  'state.waiting': 'Waits for its turn.',
  'state.finishing': 'Sent. The service is listening through it…',
  'state.converting': 'Sent. It is being turned into an MP3; the link works already.',
  'state.truncated': 'The file ends earlier than it says; everything that is in it was kept.',
  'state.silent': 'This recording is silent from beginning to end.',
  'state.unkept': 'This browser has no room to keep it: leave the page open until it is sent.',
  'state.later': 'It is kept in this browser and is sent by itself as soon as that works.',
  'amount': '{sent} of {all}',
  'amount.speed': '{sent} of {all} · {speed}/s',
  'say.recording': 'Recording',
  'say.stopped': 'Stopped. {length} recorded, not sent yet.',
  'say.discarded': 'The recording was discarded.',
  'say.added.one': '{n} file added.',
  'say.added.other': '{n} files added.',
  'say.percent': '{name}: {percent} sent',
  'say.ready': '{name} is ready. Its link can be copied.',
  'say.copied': 'The link to {name} is copied.',
  'say.removed': '{name} was removed from this list.',
  'say.welcome': 'Welcome, {name}. You can record now.',
  'sure.remove': 'This recording was not sent. If you remove it, it is gone. Remove it?',
  'sure.discard': 'Throw this recording away?',
  'sure.forget': 'Get a new identity under another name? What you have sent stays in this list.',
  'sure.remove.sent': 'Take it out of this list? Its link goes on working for whoever has it, but you will not find it here again.',
  'ask.no': 'No',
  'problem.network': 'The connection broke off.',
  'problem.unavailable': 'The service is busy just now.',
  'problem.invalid_credentials': 'The service no longer knows this browser. Give your name again at the top, and this will be sent.',
  'problem.not_wav': '“{name}” is not a WAV file, and only those are taken. Most sound programs can export WAV.',
  'problem.empty': '“{name}” is empty.',
  'problem.unsupported_audio': 'This is not a WAV file that the service can read: either another format under that name, or a rare kind of compression. Export it as WAV, PCM 16 or 24 bit, and bring that.',
  'problem.unplayable_audio': 'This WAV file is damaged, or of a form that cannot be converted right. Save it anew as WAV, PCM 16 or 24 bit, and bring that.',
  'reason.no_data': 'There is no sound in this file.',
  'reason.no_samples': 'There is no sound in this file.',
  'reason.too_long': 'This recording is longer than 24 hours. Cut it into parts.',
  'reason.bad_channels': 'This file says that it has no channel, or more than eight. Mix it down to stereo and bring that.',
  'reason.bad_sample_rate': 'This file’s sample rate is not between 1 and 384 kHz. Save it at 44.1 or 48 kHz and bring that.',
  'reason.damaged': 'A part of the sound in this file is damaged. If you have the original, save it anew as WAV, PCM, and bring that.',
  'reason.undecodable': 'The sound in this file cannot be decoded. If you have the original, save it anew as WAV, PCM, and bring that.',
  'problem.audio_too_large': 'This recording is too large: at most {limit} can be sent. Cut it into parts.',
  'problem.idempotency_conflict': 'Something else was already sent under this recording’s key. Bring the file again.',
  'problem.record_not_found': 'The service no longer has this recording: it did not arrive whole within a day.',
  'problem.conversion_error': 'The conversion failed on the service’s side. Trying again may help.',
  'problem.conversion_timeout': 'This recording takes longer to convert than the service has time for. Cut it into parts.',
  'problem.upload_expired': 'The permission to send ran out before the recording had arrived.',
  'problem.validation_failed': 'The service did not accept the name. Change it and try again.',
  'problem.unknown': 'The service answered something unexpected.',
  'problem.playback': 'It cannot be played just now. Try again in a moment.',
  'problem.unread': 'The browser cannot read this recording just now.',
  'problem.lost': 'The browser has deleted this recording’s sound. If you have the file, bring it again.',
  'microphone.NotAllowedError': 'The browser was not allowed to use the microphone. Allow it in the address bar or in the settings of this site, then press the red button again.',
  'microphone.NotFoundError': 'There is no microphone. Connect one, or bring a WAV file instead.',
  'microphone.NotReadableError': 'The microphone is taken by another program. Close that, then press the red button again.',
  'microphone.insecure': 'A browser gives the microphone to pages at https:// addresses only. WAV files can be brought here all the same.',
  'microphone.lost': 'The microphone went away. What was recorded up to then is kept below.',
  'microphone.full': 'The longest possible recording is reached. It is kept below.',
  'microphone.unknown': 'The microphone could not be opened. Try again, or bring a WAV file instead.',
  'microphone.unkept': 'This browser has no room left to keep the recording as it goes. Stop and send it soon.',
};

const russian = {
  'api': 'API',
  'me.id': 'Номер пользователя',
  'me.kept': 'Ключ к нему хранит только этот браузер. Копии нет ни у кого.',
  'me.forget': 'Другое имя',
  'welcome.title': 'Скажите раз — и делитесь ссылкой.',
  'welcome.lead': 'Запишите голос здесь или принесите файлы WAV. Каждый станет MP3 с собственным адресом, который можно передать.',
  'welcome.name': 'Ваше имя',
  'welcome.go': 'Начать',
  'welcome.hint': 'Ни пароля, ни почты: ключ хранит этот браузер.',
  'welcome.empty': 'Напишите имя, любое: им подписаны ваши записи.',
  'welcome.again': 'Сервис больше не знает этот браузер. Назовите себя ещё раз, и всё, что ждёт, отправится.',
  'booth.title': 'Новая запись',
  'booth.record': 'Записать',
  'booth.stop': 'Стоп',
  'booth.discard': 'Выбросить',
  'booth.hint': 'Нажмите красную кнопку и говорите.',
  'booth.opening': 'Ждём микрофон. Разрешите его, если браузер спросит.',
  'booth.listening': 'Идёт запись. Она сразу сохраняется в этом браузере.',
  'booth.silent': 'Ничего не слышно. Микрофон выключен, или выбран другой?',
  'booth.choose': 'Выбрать файлы WAV',
  'booth.drop': 'или перетащите их на страницу',
  'booth.drop.now': 'Отпустите файлы WAV, чтобы отправить',
  'booth.name': 'Запись {when}',
  'list.title': 'Ваши записи',
  'list.none': 'Пока пусто. Всё, что вы запишете или принесёте, останется в этом списке.',
  'footer': 'Запись услышит каждый, у кого есть ссылка, а угадать её нельзя.',
  'item.send': 'Отправить',
  'item.retry': 'Повторить',
  'item.cancel': 'Отменить',
  'item.copy': 'Скопировать ссылку',
  'item.copied': 'Скопировано',
  'item.download': 'Скачать MP3',
  'item.save': 'Сохранить WAV',
  'item.remove': 'Убрать',
  'item.play': 'Слушать: {name}',
  'item.pause': 'Пауза: {name}',
  'item.seek': 'Место в записи {name}',
  'item.rename': 'Название записи',
  'item.sending': 'Отправляется {name}',
  'item.position': '{now} из {all}',
  'state.kept': 'Ещё не отправлено. Хранится в этом браузере.',
  'state.recovered': 'Страница закрылась во время записи. Всё, что успело записаться, здесь.',
  'state.cancelled': 'Отменено. Хранится в этом браузере, пока вы не отправите или не уберёте.',
  'state.waiting': 'Ждёт своей очереди.',
  'state.finishing': 'Отправлено. Сервис её прослушивает…',
  'state.converting': 'Отправлено. Превращается в MP3; ссылка уже действует.',
  'state.truncated': 'Файл кончается раньше, чем в нём указано; всё, что в нём есть, сохранено.',
  'state.silent': 'В этой записи тишина от начала до конца.',
  'state.unkept': 'В браузере нет места, чтобы её хранить: не закрывайте страницу, пока она не отправится.',
  'state.later': 'Хранится в этом браузере и отправится сама, как только получится.',
  'amount': '{sent} из {all}',
  'amount.speed': '{sent} из {all} · {speed}/с',
  'say.recording': 'Идёт запись',
  'say.stopped': 'Стоп. Записано: {length}, ещё не отправлено.',
  'say.discarded': 'Запись выброшена.',
  'say.added.one': 'Добавлен {n} файл.',
  'say.added.few': 'Добавлено {n} файла.',
  'say.added.many': 'Добавлено {n} файлов.',
  'say.added.other': 'Добавлено {n} файла.',
  'say.percent': '{name}: отправлено {percent}',
  'say.ready': '{name}: готово. Можно скопировать ссылку.',
  'say.copied': 'Ссылка на {name} скопирована.',
  'say.removed': '{name}: убрано из списка.',
  'say.welcome': 'Здравствуйте, {name}. Можно записывать.',
  'sure.remove': 'Эта запись не отправлена. Если её убрать, она пропадёт. Убрать?',
  'sure.discard': 'Выбросить эту запись?',
  'sure.forget': 'Завести новый номер под другим именем? Отправленное останется в этом списке.',
  'sure.remove.sent': 'Убрать из списка? Ссылка будет действовать для всех, у кого она есть, но здесь вы её больше не найдёте.',
  'ask.no': 'Нет',
  'problem.network': 'Соединение оборвалось.',
  'problem.unavailable': 'Сервис сейчас занят.',
  'problem.invalid_credentials': 'Сервис больше не знает этот браузер. Назовите себя ещё раз наверху, и запись отправится.',
  'problem.not_wav': '«{name}» — не файл WAV, а принимаются только они. Почти любая звуковая программа умеет сохранять в WAV.',
  'problem.empty': 'Файл «{name}» пуст.',
  'problem.unsupported_audio': 'Сервис не может прочесть это как WAV: либо это другой формат под таким именем, либо редкое сжатие. Сохраните запись как WAV, PCM 16 или 24 бита, и принесите её.',
  'problem.unplayable_audio': 'Этот файл WAV повреждён или такого вида, который нельзя преобразовать верно. Сохраните запись заново как WAV, PCM 16 или 24 бита, и принесите её.',
  'reason.no_data': 'В этом файле нет звука.',
  'reason.no_samples': 'В этом файле нет звука.',
  'reason.too_long': 'Эта запись длиннее 24 часов. Разделите её на части.',
  'reason.bad_channels': 'В этом файле указано ни одного канала или больше восьми. Сведите запись в стерео и принесите её.',
  'reason.bad_sample_rate': 'Частота дискретизации этого файла не от 1 до 384 кГц. Сохраните запись с 44,1 или 48 кГц и принесите её.',
  'reason.damaged': 'Часть звука в этом файле повреждена. Если есть исходная запись, сохраните её заново как WAV, PCM, и принесите.',
  'reason.undecodable': 'Звук в этом файле не раскодировать. Если есть исходная запись, сохраните её заново как WAV, PCM, и принесите.',
  'problem.audio_too_large': 'Запись слишком велика: отправить можно не больше {limit}. Разделите её на части.',
  'problem.idempotency_conflict': 'Под ключом этой записи уже отправлено что-то другое. Принесите файл ещё раз.',
  'problem.record_not_found': 'У сервиса больше нет этой записи: она не дошла целиком за сутки.',
  'problem.conversion_error': 'Преобразование не удалось по вине сервиса. Стоит попробовать ещё раз.',
  'problem.conversion_timeout': 'Эта запись преобразуется дольше, чем есть времени у сервиса. Разделите её на части.',
  'problem.upload_expired': 'Разрешение на отправку истекло раньше, чем запись дошла.',
  'problem.validation_failed': 'Сервис не принял название. Измените его и попробуйте снова.',
  'problem.unknown': 'Сервис ответил что-то непонятное.',
  'problem.playback': 'Сейчас не воспроизводится. Попробуйте чуть позже.',
  'problem.unread': 'Браузер сейчас не может прочесть эту запись.',
  'problem.lost': 'Браузер удалил звук этой записи. Если файл у вас есть, принесите его ещё раз.',
  'microphone.NotAllowedError': 'Браузеру не разрешено использовать микрофон. Разрешите его в адресной строке или в настройках сайта и нажмите красную кнопку снова.',
  'microphone.NotFoundError': 'Микрофона нет. Подключите его или принесите файл WAV.',
  'microphone.NotReadableError': 'Микрофон занят другой программой. Закройте её и нажмите красную кнопку снова.',
  'microphone.insecure': 'Браузер даёт микрофон только страницам с адресом https://. Файлы WAV можно принести и сюда.',
  'microphone.lost': 'Микрофон пропал. Всё, что успело записаться, лежит ниже.',
  'microphone.full': 'Длиннее записать нельзя. Запись лежит ниже.',
  'microphone.unknown': 'Микрофон не открылся. Попробуйте снова или принесите файл WAV.',
  'microphone.unkept': 'В браузере кончилось место для записи. Остановите её и отправьте поскорее.',
};

/** Every sentence of every language. */
export const languages = { en: english, ru: russian };

/** The first language of the browser that the page speaks: 'en' or 'ru'. */
export const language =
  (navigator.languages ?? [navigator.language]).map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in languages) ?? 'en';

const dictionary = languages[language];
const plural = new Intl.PluralRules(language);

/** The sentence of that key; `{x}` in it becomes values.x, and values.n chooses among `.one`, `.few`, `.other`. */
export function words(key, values = {}) {
  const sentence = dictionary[key] ?? dictionary[`${key}.${plural.select(values.n)}`];
  return sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** A problem (see api.js) as a sentence. A code that the page does not know speaks for itself, in the service's words. */
export function explain(problem) {
  const limit = size(problem.details?.max_bytes ?? problem.details?.limit_bytes ?? 0);
  const key = [`reason.${problem.details?.reason}`, `problem.${problem.code}`].find((key) => key in dictionary);
  return key ? words(key, { limit }) : problem.message || words('problem.unknown');
}

/** Puts the words into every element that names them by data-words. */
export function translate(root) {
  for (const element of root.querySelectorAll('[data-words]')) element.textContent = words(element.dataset.words);
}

const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte'];

/** A number of bytes: '57.6 MB'. */
export function size(bytes) {
  const power = bytes < 1000 ? 0 : Math.min(3, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  const digits = power > 1 && value < 100 ? 1 : 0;
  const format = { style: 'unit', unit: units[power], unitDisplay: 'short', minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(language, format).format(value);
}

/** Seconds as a clock shows them: '1:03', '1:00:07'. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const two = (n) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** Seconds as they are said aloud: '1 minute 3 seconds'. */
export function spoken(seconds) {
  const whole = Math.floor(seconds);
  const parts = [['hour', Math.floor(whole / 3600)], ['minute', Math.floor(whole / 60) % 60], ['second', whole % 60]];
  return parts
    .filter(([unit, n]) => n || (unit === 'second' && whole === 0))
    .map(([unit, n]) => new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'long' }).format(n))
    .join(' ');
}

/** 0.25 as '25%'. */
export const percent = (share) => new Intl.NumberFormat(language, { style: 'percent' }).format(share);

/** A moment (ms) as a day and a time. */
export function when(moment) {
  return new Intl.DateTimeFormat(language, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' }).format(moment);
}
