//! From bytes within limits to a mono sound.

use std::io::Cursor;
use std::panic::{UnwindSafe, catch_unwind};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader, Track};
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadOnlySource};
use symphonia::default::formats::{AdtsReader, FlacReader, IsoMp4Reader, MpaReader, OggReader, WavReader};

use super::format::{Untagged, untagged};
use super::mp4::AudioTrack;
use super::{AudioError, AudioLimits, Format, Header, Sound, header, mp4};
use crate::excerpt::excerpt;

/// Packets in a row without a sample that are still taken for honest.
const SILENT_PACKETS: usize = 1 << 16;

/// Samples reserved ahead for each encoded byte, however many a header declares.
const RESERVED_PER_BYTE: u64 = 16;

/// Samples of a channel in a frame of MP3. An encoder may count the frame that holds its tag.
const MP3_FRAME: u64 = 1152;

pub(super) fn decode(bytes: &[u8], limits: &AudioLimits) -> Result<Sound, AudioError> {
    let found = bytes.len() as u64;
    if found > limits.encoded_bytes {
        return Err(AudioError::TooManyBytes { found, limit: limits.encoded_bytes });
    }
    let file = untagged(bytes)?;
    let track = (file.format == Format::M4a).then(|| mp4::read(file.bytes)).transpose()?;
    let header = track.as_ref().map_or_else(|| header::of(&file), |track| Ok(track.header()))?;
    limits.check(&header)?;
    contain(file.format, || {
        let mut decoded = decode_samples(&file, &header, track.as_ref().map(|track| track.id), limits)?;
        if let Some(track) = &track {
            cut_to_edit(&mut decoded, track);
        }
        Sound::new(decoded.samples, decoded.sample_rate)
    })
}

/// Runs a decoder so that its panic is an error of this sound only.
fn contain<T>(format: Format, decoder: impl FnOnce() -> Result<T, AudioError> + UnwindSafe) -> Result<T, AudioError> {
    catch_unwind(decoder).unwrap_or(Err(AudioError::Decoder { format }))
}

struct Decoded {
    samples: Vec<f32>,
    sample_rate: u32,
}

fn decode_samples(
    file: &Untagged<'_>,
    header: &Header,
    track: Option<u32>,
    limits: &AudioLimits,
) -> Result<Decoded, AudioError> {
    let (format, found) = (file.format, file.bytes.len());
    let failed = |e| decoder_error(e, format, found);
    let mut reader = reader(file).map_err(failed)?;
    let (track, codec) = sound_track(reader.tracks(), track, format)?;
    let (id, counted) = (track.id, track.num_frames);
    let codecs = symphonia::default::get_codecs();
    let options = AudioDecoderOptions::default().verify(true);
    let mut decoder = codecs.make_audio_decoder(codec, &options).map_err(failed)?;
    // The tag of an MP3 is read by its reader.
    let frames = if format == Format::Mp3 { counted } else { header.frames };
    limits.check(&Header { frames: frames.filter(|&n| n > 0), ..*header })?;

    let mut mono = Mono::new(limits, frames.unwrap_or(0).min(RESERVED_PER_BYTE * found as u64))?;
    let mut silent = 0;
    loop {
        let packet = match reader.next_packet() {
            Ok(None) => break,
            Ok(Some(packet)) => packet,
            // A WAV file whose writer did not know its length ends with the bytes; the header has counted them.
            Err(e) if format == Format::Wav && is_end(&e) && frames == Some(mono.samples.len() as u64) => break,
            Err(e) => return Err(failed(e)),
        };
        silent += 1;
        if silent > SILENT_PACKETS {
            let reason = format!("{SILENT_PACKETS} packets without a sample");
            return Err(AudioError::Decode { format, reason });
        }
        if packet.track_id != id {
            continue;
        }
        let buffer = decoder.decode(&packet).map_err(failed)?;
        if buffer.frames() == 0 {
            continue;
        }
        silent = 0;
        let spec = buffer.spec();
        let channels = u32::try_from(spec.channels().count()).unwrap_or(u32::MAX);
        mono.expect(format, spec.rate(), channels)?;
        buffer.copy_to_vec_interleaved(&mut mono.interleaved);
        mono.mix()?;
    }
    if decoder.finalize().verify_ok == Some(false) {
        return Err(AudioError::Decode { format, reason: "the samples do not have their checksum".to_owned() });
    }
    let missing = match format {
        Format::Wav | Format::Flac => frames.is_some_and(|n| (mono.samples.len() as u64) < n),
        Format::Mp3 => frames.is_some_and(|n| mono.samples.len() as u64 + 2 * MP3_FRAME < n),
        // Ogg and M4A are known to be whole; a position may count from another start.
        Format::Ogg | Format::M4a | Format::Adts => false,
    };
    if missing {
        return Err(AudioError::Truncated { format, found });
    }
    Ok(Decoded { sample_rate: mono.sample_rate().unwrap_or(header.sample_rate), samples: mono.samples })
}

fn reader<'a>(file: &Untagged<'a>) -> Result<Box<dyn FormatReader + 'a>, Error> {
    let stream = |source: Box<dyn MediaSource + 'a>| MediaSourceStream::new(source, Default::default());
    let seekable = || stream(Box::new(Cursor::new(file.bytes)));
    // Where a file could be searched, the reader would guess its length from its bit rate, and cut the sound there.
    let streamed = || stream(Box::new(ReadOnlySource::new(Cursor::new(file.bytes))));
    let options = FormatOptions::default();
    Ok(match file.format {
        Format::Wav => Box::new(WavReader::try_new(seekable(), options)?),
        Format::Flac => Box::new(FlacReader::try_new(seekable(), options)?),
        Format::Mp3 => Box::new(MpaReader::try_new(streamed(), options)?),
        Format::Ogg => Box::new(OggReader::try_new(seekable(), options)?),
        Format::M4a => Box::new(IsoMp4Reader::try_new(seekable(), options)?),
        Format::Adts => Box::new(AdtsReader::try_new(streamed(), options)?),
    })
}

type Codec = symphonia::core::codecs::audio::AudioCodecParameters;

/// The track of that number, or the only one.
fn sound_track(tracks: &[Track], id: Option<u32>, format: Format) -> Result<(&Track, &Codec), AudioError> {
    let mut sounds = tracks.iter().filter_map(|track| match &track.codec_params {
        Some(CodecParameters::Audio(codec)) if id.is_none_or(|id| id == track.id) => Some((track, codec)),
        _ => None,
    });
    sounds.next().ok_or_else(|| AudioError::Decode { format, reason: "no track of sound".to_owned() })
}

/// Samples that are averaged over channels as they come.
struct Mono<'a> {
    limits: &'a AudioLimits,
    samples: Vec<f32>,
    /// Of one packet.
    interleaved: Vec<f32>,
    /// Rate and channels of the first packet.
    first: Option<(u32, u32)>,
}

impl<'a> Mono<'a> {
    fn new(limits: &'a AudioLimits, reserved: u64) -> Result<Self, AudioError> {
        let mut mono = Self { limits, samples: Vec::new(), interleaved: Vec::new(), first: None };
        mono.reserve(usize::try_from(reserved).unwrap_or(usize::MAX))?;
        Ok(mono)
    }

    fn sample_rate(&self) -> Option<u32> {
        self.first.map(|(rate, _)| rate)
    }

    fn reserve(&mut self, more: usize) -> Result<(), AudioError> {
        let sample_rate = self.sample_rate().unwrap_or(0);
        let limit = self.limits.decoded_bytes;
        self.samples.try_reserve(more).map_err(|_| AudioError::DecodedBytes { sample_rate, limit })
    }

    /// Checks what a packet is made of: against the limits if it is the first one, else against the first one.
    fn expect(&mut self, format: Format, rate: u32, channels: u32) -> Result<(), AudioError> {
        match self.first {
            None => {
                self.first = Some((rate, channels));
                self.limits.check(&Header { format, sample_rate: rate, channels, frames: None })
            }
            Some(first) if first == (rate, channels) => Ok(()),
            Some(first) => {
                let reason =
                    format!("{} Hz and {} channels become {rate} Hz and {channels} channels", first.0, first.1);
                Err(AudioError::Decode { format, reason })
            }
        }
    }

    fn mix(&mut self) -> Result<(), AudioError> {
        let (rate, channels) = self.first.expect("a packet was expected");
        let channels = channels as usize;
        let more = self.interleaved.len() / channels;
        self.limits.check_frames((self.samples.len() + more) as u64, rate, false)?;
        self.reserve(more)?;
        let mean = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
        self.samples.extend(self.interleaved.chunks_exact(channels).map(mean));
        Ok(())
    }
}

/// Leaves what the file's edit list lets be heard.
fn cut_to_edit(decoded: &mut Decoded, track: &AudioTrack) {
    let (start, length) = track.heard(decoded.sample_rate);
    let all = decoded.samples.len();
    let start = usize::try_from(start).map_or(all, |n| n.min(all));
    decoded.samples.drain(..start);
    if let Some(length) = length.and_then(|n| usize::try_from(n).ok()) {
        decoded.samples.truncate(length);
    }
}

fn is_end(error: &Error) -> bool {
    matches!(error, Error::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof)
}

/// A decoder's error in this project's words.
fn decoder_error(error: Error, format: Format, found: usize) -> AudioError {
    match error {
        e if is_end(&e) => AudioError::Truncated { format, found },
        Error::Unsupported(feature) => AudioError::Unsupported { format, feature: excerpt(feature) },
        Error::ResetRequired => AudioError::Unsupported { format, feature: "a file of several streams".to_owned() },
        Error::DecodeError(reason) | Error::LimitError(reason) => {
            AudioError::Decode { format, reason: excerpt(reason) }
        }
        e => AudioError::Decode { format, reason: excerpt(&e.to_string()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Explain;

    #[test]
    fn a_panic_becomes_an_error() {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let result: Result<(), AudioError> = contain(Format::Ogg, || panic!("as a decoder might"));
        std::panic::set_hook(hook);
        assert_eq!(result.unwrap_err().code(), "AUDIO_DECODER");
    }
}
