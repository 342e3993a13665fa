#!/usr/bin/perl
# Net::SFTP::Foreign, widely. Arguments: host port user local-folder, then options for ssh. Prints `ok …` or `not ok …` a step.
use strict;
use warnings;
use Net::SFTP::Foreign;
use Net::SFTP::Foreign::Constants qw(:flags);

my ($host, $port, $user, $local, @options) = @ARGV;
my $sftp = Net::SFTP::Foreign->new(host => $host, port => $port, user => $user, more => \@options, timeout => 60);
$sftp->die_on_error("no login");
my $content = join '', map { chr int rand 256 } 1 .. 700_003;

sub step {
    my ($title, $action) = @_;
    my $failed = eval { $action->(); 1 } ? '' : $@;
    $failed =~ s/\s+/ /g;
    print $failed eq '' ? "ok $title\n" : "not ok $title: $failed\n";
}
sub done { $_[0] or die "$_[1]: " . $sftp->error . "\n" }
sub equal { $_[0] eq $_[1] or die "$_[2]: " . substr($_[0], 0, 60) . " instead of " . substr($_[1], 0, 60) . "\n" }
sub spew { open my $file, '>:raw', $_[0] or die $!; print $file $_[1]; close $file }
sub slurp { open my $file, '<:raw', $_[0] or die $!; local $/; my $all = <$file>; defined $all ? $all : '' }

spew("$local/one.bin", $content);

step 'put and get, with permissions and times' => sub {
    utime 1_000_000_000, 1_100_000_000, "$local/one.bin";
    chmod 0640, "$local/one.bin";
    done($sftp->put("$local/one.bin", 'one.bin'), 'put');
    my $attributes = $sftp->stat('one.bin');
    equal(join(' ', $attributes->size, $attributes->mtime, $attributes->perm & 0777), join(' ', 700_003, 1_100_000_000, 0640), 'stat');
    done($sftp->get('one.bin', "$local/got.bin"), 'get');
    equal(slurp("$local/got.bin"), $content, 'content');
};
step 'put and get that go on where they stopped' => sub {
    done($sftp->put_content(substr($content, 0, 200_001), 'half.bin'), 'put_content');
    done($sftp->put("$local/one.bin", 'half.bin', resume => 1), 'put resume');
    equal($sftp->get_content('half.bin'), $content, 'uploaded');
    spew("$local/half.bin", substr($content, 0, 300_001));
    done($sftp->get('half.bin', "$local/half.bin", resume => 1), 'get resume');
    equal(slurp("$local/half.bin"), $content, 'downloaded');
};
step 'put under another name first (atomic), also over a file' => sub {
    for my $text ('first', 'second') {
        spew("$local/atomic", $text);
        done($sftp->put("$local/atomic", 'atomic', atomic => 1, overwrite => 1), 'put');
        equal($sftp->get_content('atomic'), $text, 'content');
    }
};
step 'put_content in append mode' => sub {
    my $handle = $sftp->open('log', SSH2_FXF_WRITE | SSH2_FXF_CREAT | SSH2_FXF_APPEND);
    done($handle, 'open');
    print $handle "line $_\n" for 1 .. 3;
    done($sftp->close($handle), 'close');
    my $again = $sftp->open('log', SSH2_FXF_WRITE | SSH2_FXF_CREAT | SSH2_FXF_APPEND);
    print $again "line 4\n";
    done($sftp->close($again), 'close');
    equal($sftp->get_content('log'), join('', map { "line $_\n" } 1 .. 4), 'content');
};
step 'whole trees there and back, and a second time only what is newer' => sub {
    mkdir "$local/tree";
    mkdir "$local/tree/$_" for 'a', 'a/b', 'with blanks';
    for my $place ('', 'a/', 'a/b/', 'with blanks/') { spew("$local/tree/${place}f$_", substr($content, 0, $_ * 1000)) for 0 .. 9 }
    my $count = $sftp->rput("$local/tree", 'tree');
    equal($count, 40 + 4, 'rput, files and folders') if defined $count && $count != 40;
    my @errors;
    $sftp->rget('tree', "$local/back", on_error => sub { push @errors, "$_[1]{filename}: " . $_[0]->error });
    equal(join(', ', @errors), '', 'rget');
    for my $place ('', 'a/', 'a/b/', 'with blanks/') { equal(slurp("$local/back/${place}f$_"), substr($content, 0, $_ * 1000), "f$_") for 0 .. 9 }
    spew("$local/tree/a/f1", 'changed');
    utime time + 10, time + 10, "$local/tree/a/f1";
    $sftp->rput("$local/tree", 'tree', newer_only => 1, overwrite => 1);
    equal($sftp->get_content('tree/a/f1'), 'changed', 'newer');
};
step 'find, glob, mput and mget' => sub {
    equal(scalar($sftp->find('tree', wanted => sub { $_[1]{filename} =~ /f3$/ })), 4, 'find');
    equal(join(' ', sort map { $_->{filename} } $sftp->glob('tree/f[12]')), 'tree/f1 tree/f2', 'glob');
    done($sftp->mkdir('many'), 'mkdir');
    equal($sftp->mput("$local/tree/f*", 'many'), 10, 'mput');
    mkdir "$local/many";
    equal($sftp->mget('many/*', "$local/many"), 10, 'mget');
};
step 'mkpath, rename, atomic_rename over a file, rename with overwrite' => sub {
    done($sftp->mkpath('p/q/r'), 'mkpath');
    done($sftp->put_content($_, $_), 'put') for 'x', 'y', 'z';
    $sftp->rename('x', 'y') and die "a rename replaced a file\n";
    done($sftp->atomic_rename('x', 'y'), 'atomic_rename');
    equal($sftp->get_content('y'), 'x', 'content');
    done($sftp->rename('y', 'z', overwrite => 1), 'rename');
    equal($sftp->get_content('z'), 'x', 'content');
};
step 'reads lines, seeks, writes into the middle and truncates an open file' => sub {
    done($sftp->put_content(join('', map { "line $_\n" } 1 .. 1000), 'lines'), 'put');
    my $handle = $sftp->open('lines', SSH2_FXF_READ | SSH2_FXF_WRITE);
    done($handle, 'open');
    equal(scalar(<$handle>), "line 1\n", 'first');
    seek $handle, 7, 0;
    print $handle 'LINE';
    $sftp->flush($handle);
    seek $handle, 0, 0;
    my @lines = <$handle>;
    equal(scalar(@lines), 1000, 'lines');
    equal($lines[1], "LINE 2\n", 'second');
    done($sftp->truncate($handle, 14), 'truncate');
    done($sftp->close($handle), 'close');
    equal($sftp->stat('lines')->size, 14, 'size');
};
step 'attributes: setstat of what stat gave, chmod, utime' => sub {
    my $attributes = $sftp->stat('one.bin');
    $attributes->set_perm(0600);
    done($sftp->setstat('one.bin', $attributes), 'setstat');
    equal($sftp->stat('one.bin')->perm & 0777, 0600, 'mode');
    done($sftp->chmod('one.bin', 0644), 'chmod');
    done($sftp->utime('one.bin', 5, 7), 'utime');
    equal($sftp->stat('one.bin')->mtime, 7, 'time');
};
step 'listings, realpath, statvfs, test_d, test_e' => sub {
    my $listed = $sftp->ls('tree', names_only => 1, ordered => 1);
    equal(join(' ', grep { !/^\.\.?$/ } @$listed), join(' ', 'a', (map { "f$_" } 0 .. 9), 'with blanks'), 'ls');
    equal($sftp->realpath('tree/a/..') =~ s{.*/}{}r, 'tree', 'realpath');
    done($sftp->statvfs('.'), 'statvfs');
    done($sftp->test_d('tree'), 'test_d');
    $sftp->test_e('none') and die "what is not there exists\n";
};
step 'removes a tree' => sub {
    $sftp->rremove('tree');
    $sftp->stat('tree') and die "it is still there\n";
};
print "end\n";
