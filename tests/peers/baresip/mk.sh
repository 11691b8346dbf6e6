#!/bin/bash
# mk.sh DIR SIP_PORT CTRL_PORT WAV [ua params: answermode etc.] -> a headless baresip config directory
d=$1; mkdir -p $d/rec
cat > $d/config <<C
poll_method		epoll
sip_listen		127.0.0.1:$2
call_local_timeout	30
call_max_calls		4
audio_path		/nonexistent
audio_player		aubridge,sink$2
audio_source		aufile,$4
audio_alert		aubridge,sink$2
ausrc_srate		8000
auplay_srate		8000
ausrc_channels		1
auplay_channels		1
audio_level		no
ausrc_format		s16
auplay_format		s16
auenc_format		s16
audec_format		s16
rtp_tos			184
rtp_ports		${6:-44000-44100}
rtcp_mux		no
jitter_buffer_delay	1-5
rtp_stats		yes
module_path		/usr/lib/baresip/modules
module			g711.so
module			g722.so
module			opus.so
module			srtp.so
module			sndfile.so
module			aufile.so
module			aubridge.so
module_tmp		account.so
module_app		menu.so
module_app		ctrl_tcp.so
net_interface		127.0.0.1
ctrl_tcp_listen		127.0.0.1:$3
snd_path		$d/rec
menu_bell		no
ringback_disabled	yes
statmode_default	off
C
echo "<sip:${WHO:-tester}@127.0.0.1:$2>;regint=0;audio_codecs=${CODEC:-PCMU/8000/1};ptime=20$5" > $d/accounts
: > $d/contacts
